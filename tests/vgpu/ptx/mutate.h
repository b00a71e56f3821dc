// Mutants: a kernel without its last store, to see whether a program's tests notice.
#pragma once
#include <string>

#include "ptx/module.h"

namespace tweedie::vgpu::ptx {

// Makes the last instruction of `kernel`'s text that stores to global memory (st, red, atom, by a global or a generic
// address) do nothing; an atom still reads. Stores of functions that it calls stay. False where there is none.
bool drop_last_store(Function& kernel);

}  // namespace tweedie::vgpu::ptx
