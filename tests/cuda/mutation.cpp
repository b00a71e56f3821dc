#include "tests/cuda/mutation.h"

#include <cuda_runtime.h>

#include <cstdlib>
#include <map>
#include <set>

#include "kernels/runtime/error.h"
#include "kernels/runtime/operation.h"
#include "tests/vgpu/core/kernel_name.h"

namespace tweedie::testing_tools {
namespace {

const std::string& wanted() {
  static const char* const text = std::getenv("TWEEDIE_MUTATE");
  static const std::string name = text == nullptr ? "" : text;
  return name;
}

/// What the wrapped entry points have seen. Never destroyed: objects of static storage free device memory too.
struct Seen {
  std::map<const void*, std::string> kernels;  // by the host's function: mangled names
  std::map<std::byte*, std::size_t> memory;    // what cudaMalloc gave and cudaFree did not take back
  std::map<std::string, int> launched;
};
Seen& seen() {
  static Seen* const instance = new Seen;
  return *instance;
}

bool is_operation(const std::string& name) {
  for (const OperationBase* operation : all_operations())
    if (operation->name() == name) return true;
  return false;
}

void check(cudaError_t status) {
  require(status == cudaSuccess, "TWEEDIE_MUTATE: {}", cudaGetErrorString(status));
}

std::map<std::byte*, std::vector<std::byte>> copy_of_memory(cudaStream_t stream) {
  std::map<std::byte*, std::vector<std::byte>> copies;
  for (const auto& [address, bytes] : seen().memory) {
    std::vector<std::byte>& copy = copies[address];
    copy.resize(bytes);
    check(cudaMemcpyAsync(copy.data(), address, bytes, cudaMemcpyDeviceToHost, stream));
  }
  check(cudaStreamSynchronize(stream));
  return copies;
}

/// Puts the last four bytes that differ between `before` and now back.
void undo_last_change(const std::map<std::byte*, std::vector<std::byte>>& before, cudaStream_t stream) {
  const auto after = copy_of_memory(stream);
  for (auto block = after.rbegin(); block != after.rend(); ++block) {
    const std::vector<std::byte>& old = before.at(block->first);
    for (std::size_t at = old.size(); at-- > 0;) {
      if (block->second[at] == old[at]) continue;
      const std::size_t word = at / 4 * 4;
      check(cudaMemcpyAsync(block->first + word, old.data() + word, std::min<std::size_t>(4, old.size() - word),
                            cudaMemcpyHostToDevice, stream));
      return check(cudaStreamSynchronize(stream));
    }
  }
}

}  // namespace

void check_mutation() {
  if (wanted().empty() || is_operation(wanted())) return;
  std::string names;
  for (const std::string& kernel : all_kernels()) {
    if (vgpu::is_kernel_called(kernel, wanted())) return;
    names += "\n  " + vgpu::demangled(kernel);
  }
  throw UsageError(fmt::format(
      "TWEEDIE_MUTATE: {} is no operation (--list-operations) and no kernel; the kernels are{}", wanted(), names));
}

OperationCase with_mutation(OperationCase operation_case) {
  if (operation_case.operation != wanted()) return operation_case;
  std::size_t last = operation_case.operands.size();
  for (std::size_t i = 0; i < operation_case.operands.size(); ++i)
    if (operation_case.operands[i].role != Role::input && operation_case.operands[i].shape.count() > 0) last = i;
  if (last == operation_case.operands.size()) return operation_case;
  operation_case.run = [run = operation_case.run, last](Stream& stream, std::span<const Array> arrays) {
    if (stream.device().kind != DeviceKind::cuda) return run(stream, arrays);
    const std::size_t size = size_of(arrays[last].dtype);
    std::byte* const element =
        static_cast<std::byte*>(arrays[last].data) + (static_cast<std::size_t>(arrays[last].count()) - 1) * size;
    std::vector<std::byte> before(size);
    stream.copy_to_host(before.data(), element, size);
    run(stream, arrays);
    stream.copy_from_host(element, before.data(), size);
  };
  return operation_case;
}

std::vector<std::string> all_kernels() {
  std::set<std::string> names;
  for (const auto& [host, name] : seen().kernels) names.insert(name);
  return {names.begin(), names.end()};
}

std::map<std::string, int>& launched_kernels() {
  return seen().launched;
}

}  // namespace tweedie::testing_tools

// The linker sends this program's calls of these entry points here (--wrap).
extern "C" {

using tweedie::testing_tools::seen;

void __real___cudaRegisterFunction(void**, const char*, char*, const char*, int, uint3*, uint3*, dim3*, dim3*, int*);
void __wrap___cudaRegisterFunction(void** module, const char* host, char* device, const char* name, int limit,
                                   uint3* thread, uint3* block, dim3* block_size, dim3* grid_size, int* warp_size) {
  seen().kernels[host] = name;
  __real___cudaRegisterFunction(module, host, device, name, limit, thread, block, block_size, grid_size, warp_size);
}

cudaError_t __real_cudaMalloc(void**, std::size_t);
cudaError_t __wrap_cudaMalloc(void** pointer, std::size_t bytes) {
  const cudaError_t status = __real_cudaMalloc(pointer, bytes);
  if (status == cudaSuccess) seen().memory[static_cast<std::byte*>(*pointer)] = bytes;
  return status;
}

cudaError_t __real_cudaFree(void*);
cudaError_t __wrap_cudaFree(void* pointer) {
  seen().memory.erase(static_cast<std::byte*>(pointer));
  return __real_cudaFree(pointer);
}

cudaError_t __real_cudaLaunchKernel(const void*, dim3, dim3, void**, std::size_t, cudaStream_t);
cudaError_t __wrap_cudaLaunchKernel(const void* kernel, dim3 blocks, dim3 threads, void** arguments,
                                    std::size_t shared_bytes, cudaStream_t stream) {
  const auto launch = [&] { return __real_cudaLaunchKernel(kernel, blocks, threads, arguments, shared_bytes, stream); };
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(stream, &capture) != cudaSuccess || capture != cudaStreamCaptureStatusNone) return launch();
  const std::string& name = seen().kernels[kernel];
  ++seen().launched[name];
  if (tweedie::testing_tools::wanted().empty() ||
      !tweedie::vgpu::is_kernel_called(name, tweedie::testing_tools::wanted()))
    return launch();
  const auto before = tweedie::testing_tools::copy_of_memory(stream);
  const cudaError_t status = launch();
  if (status == cudaSuccess) tweedie::testing_tools::undo_last_change(before, stream);
  return status;
}

}  // extern "C"
