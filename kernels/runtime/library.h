#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/runtime/device.h"

// Libraries that are opened when they are first needed, so that a machine without them runs everything else.
namespace tweedie {

/// A shared library by its file name, found as the loader finds libraries. It stays open until the program ends.
class SharedLibrary {
 public:
  explicit SharedLibrary(const char* name);
  SharedLibrary(const SharedLibrary&) = delete;
  SharedLibrary& operator=(const SharedLibrary&) = delete;

  /// Sets `function` to the library's `symbol`, or to nullptr, with a problem, where it has none.
  template <class Function>
  void find(Function*& function, const char* symbol) {
    function = reinterpret_cast<Function*>(address_of(symbol));
  }
  /// Why the library cannot be used; empty so far as is known.
  const std::string& problem() const { return problem_; }

 private:
  void* address_of(const char* symbol);

  const char* name_;
  void* handle_ = nullptr;
  std::string problem_;
};

/// The libraries that have implementations of operations on cuda: cuBLAS of matmul, cuDNN of conv2d.
enum class CudaLibrary : std::uint8_t { cublas, cudnn };
std::string_view name_of(CudaLibrary library);

/// Empty where operations on `device` can use the library, else why not: "libcublas.so.13 was not found (...)". The
/// first call for a device opens the library there.
std::string why_unavailable(CudaLibrary library, Device device);

/// Products and convolutions that the library has computed so far.
std::int64_t& calls_of(CudaLibrary library);

/// How the CUDA backend makes known how it finds that out.
using LibraryProbe = std::string (*)(Device device);
bool register_library(CudaLibrary library, LibraryProbe probe);

}  // namespace tweedie
