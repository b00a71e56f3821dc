#pragma once

#include <cuda_runtime.h>

#include <array>
#include <string_view>

#include "kernels/runtime/array.h"
#include "kernels/runtime/stream.h"

// The host side of CUDA kernels: errors, the stream's handle, launches. For .cu files; kernel.cuh has the device side.
namespace tweedie {

/// Throws Error naming the operation, the error and the place unless `status` is cudaSuccess.
void check_cuda(cudaError_t status, std::string_view operation, const char* file = __builtin_FILE(),
                int line = __builtin_LINE());

cudaStream_t cuda_handle(Stream& stream);
const cudaDeviceProp& cuda_properties(Stream& stream);

/// How a kernel is launched, and what an error calls it.
struct Launch {
  Launch(std::string_view operation, const Shape& shape, dim3 blocks, dim3 threads, std::size_t shared_bytes = 0,
         const char* file = __builtin_FILE(), int line = __builtin_LINE())
      : operation(operation),
        shape(shape),
        blocks(blocks),
        threads(threads),
        shared_bytes(shared_bytes),
        file(file),
        line(line) {}
  std::string_view operation;  // of static lifetime: an error that a kernel raises later names it too
  Shape shape;                 // of the operand that best tells this call from others
  dim3 blocks, threads;
  std::size_t shared_bytes;  // dynamic; above 48 KiB the kernel is told so first
  const char* file;
  int line;
};

/// Launches `kernel` on the stream's device. Throws Error where CUDA refuses; an error inside the kernel is thrown by
/// a later call, which names the last launch.
void launch_kernel(Stream& stream, const Launch& plan, const void* kernel, void** arguments);

template <class... Parameters>
void launch(Stream& stream, const Launch& plan, void (*kernel)(Parameters...),
            std::type_identity_t<Parameters>... arguments) {
  std::array<void*, sizeof...(Parameters)> pointers = {static_cast<void*>(&arguments)...};
  launch_kernel(stream, plan, reinterpret_cast<const void*>(kernel), pointers.data());
}

/// The usual block of kernels that walk their elements with for_each_pack or a loop over grid_threads().
inline constexpr int block_threads = 256;

/// Blocks of block_threads for `items` items: at most as many as the device keeps resident, and at least one.
unsigned blocks_for(Stream& stream, std::int64_t items);

/// Whether every pointer is aligned to 16 bytes, so that packs of that size may be moved at once. Operands may be views
/// that start anywhere.
template <class... Pointers>
bool aligned_16(Pointers... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

/// Launches a kernel that walks elements with for_each_pack: `packed`, which moves `width` at once, or `single` where
/// `width` is 1. No elements, no launch.
template <class... Parameters>
void launch_packed(Stream& stream, std::string_view operation, const Shape& shape, int width,
                   void (*packed)(Parameters...), void (*single)(Parameters...),
                   std::type_identity_t<Parameters>... arguments) {
  const std::int64_t count = shape.count();
  if (count == 0) return;
  launch(stream, {operation, shape, blocks_for(stream, (count + width - 1) / width), block_threads},
         width > 1 ? packed : single, arguments...);
}

/// Memory for a kernel's intermediate results, from the stream's allocator.
class Scratch {
 public:
  Scratch(Stream& stream, std::size_t bytes) : stream_(stream), data_(stream.allocator().allocate(bytes)) {}
  ~Scratch() { stream_.allocator().release(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  Stream& stream_;
  void* data_;
};

}  // namespace tweedie
