#pragma once

#include <map>
#include <string>
#include <vector>

#include "kernels/runtime/operation_case.h"

// TWEEDIE_MUTATE=NAME plants an error that the tests must notice, on any device. Where NAME is an operation
// (--list-operations), the last element of the last operand that it writes keeps what it held before. Where it is a
// kernel (--list-kernels; mangled, demangled or plain, which means every instance of a template), the last four bytes,
// by address, that a launch of it changed are put back. Kernels inside CUDA graphs stay as they are.
namespace tweedie::testing_tools {

/// Throws UsageError where TWEEDIE_MUTATE names neither an operation nor a kernel of this program.
void check_mutation();

/// The case, with the mutation where its operation is the one that TWEEDIE_MUTATE names.
OperationCase with_mutation(OperationCase operation_case);

/// Every kernel in this program, by its mangled name.
std::vector<std::string> all_kernels();

/// How often each kernel, by its mangled name, was launched, graphs apart. Tests may clear it.
std::map<std::string, int>& launched_kernels();

}  // namespace tweedie::testing_tools
