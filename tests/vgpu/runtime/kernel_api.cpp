// Function attributes, occupancy and libraries of kernels.
#include <cstring>

#include "core/settings.h"
#include "runtime/device.h"
#include "runtime/state.h"

using namespace tweedie::vgpu;

#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  Kernel* kernel = find_kernel(function);
  if (!kernel) return set_error(cudaErrorInvalidDeviceFunction);
  const Program& program = kernel->module->program(*kernel);
  std::memset(attributes, 0, sizeof *attributes);
  attributes->sharedSizeBytes = program.static_shared;
  attributes->localSizeBytes = program.local_bytes;
  attributes->maxThreadsPerBlock = static_cast<int>(program.max_threads);
  attributes->numRegs = static_cast<int>(std::min(255u, program.registers + 8));
  attributes->ptxVersion = kernel->module->parsed().target;
  attributes->binaryVersion = this_device().major * 10 + this_device().minor;
  attributes->maxDynamicSharedSizeBytes = kernel->max_dynamic_shared >= 0
                                              ? kernel->max_dynamic_shared
                                              : 48 * 1024 - static_cast<int>(program.static_shared);
  attributes->preferredShmemCarveout = kernel->carveout;
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  Kernel* kernel = find_kernel(function);
  if (!kernel) return set_error(cudaErrorInvalidDeviceFunction);
  if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
    const Program& program = kernel->module->program(*kernel);
    if (value < 0 || static_cast<u64>(value) + program.static_shared > this_device().shared_opt_in)
      return set_error(cudaErrorInvalidValue);
    kernel->max_dynamic_shared = value;
  }
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) kernel->carveout = value;
  return cudaSuccess;
}
cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t kernel, cudaFuncAttribute attribute, int value, int) {
  return cudaFuncSetAttribute(kernel, attribute, value);
}
cudaError_t cudaFuncSetCacheConfig(const void* function, cudaFuncCache) {
  return find_kernel(function) ? cudaSuccess : set_error(cudaErrorInvalidDeviceFunction);
}
cudaError_t cudaFuncGetName(const char** name, const void* function) {
  Kernel* kernel = find_kernel(function);
  if (!kernel) return set_error(cudaErrorInvalidDeviceFunction);
  *name = kernel->name.c_str();
  return cudaSuccess;
}
cudaError_t cudaFuncGetParamInfo(const void* function, size_t index, size_t* offset, size_t* size) {
  Kernel* kernel = find_kernel(function);
  if (!kernel) return set_error(cudaErrorInvalidDeviceFunction);
  if (index >= kernel->function->parameters.size()) return set_error(cudaErrorInvalidValue);
  *offset = kernel->function->parameters[index].offset;
  *size = kernel->function->parameters[index].size;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function, int threads,
                                                                   size_t shared, unsigned) {
  Kernel* kernel = find_kernel(function);
  if (!kernel) return set_error(cudaErrorInvalidDeviceFunction);
  *blocks = blocks_per_multiprocessor(*kernel, threads, shared);
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int threads,
                                                          size_t shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared, 0);
}
cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, const void* function, int blocks, int) {
  Kernel* kernel = find_kernel(function);
  if (!kernel || blocks < 1) return set_error(cudaErrorInvalidValue);
  const u64 each = this_device().shared_per_multiprocessor / static_cast<u64>(blocks) - 1024;
  const u64 fixed = kernel->module->program(*kernel).static_shared;
  *bytes = std::min<u64>(each, this_device().shared_opt_in) - std::min(fixed, each);
  return cudaSuccess;
}

cudaError_t cudaLibraryLoadData(cudaLibrary_t* library, const void* code, cudaJitOption*, void**, unsigned,
                                cudaLibraryOption*, void**, unsigned) {
  State& state = State::instance();
  const auto* text = static_cast<const char*>(code);
  state.modules.push_back(std::make_unique<LoadedModule>(std::string(text)));
  *library = reinterpret_cast<cudaLibrary_t>(state.modules.back().get());
  return cudaSuccess;
}
cudaError_t cudaLibraryUnload(cudaLibrary_t) {
  return cudaSuccess;
}
cudaError_t cudaLibraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name) {
  Kernel* found = reinterpret_cast<LoadedModule*>(library)->kernel(name);
  if (!found) return set_error(cudaErrorSymbolNotFound);
  *kernel = reinterpret_cast<cudaKernel_t>(found);
  return cudaSuccess;
}
cudaError_t cudaLibraryGetGlobal(void** pointer, size_t* bytes, cudaLibrary_t library, const char* name) {
  Allocation* found = reinterpret_cast<LoadedModule*>(library)->variable(name);
  if (!found) return set_error(cudaErrorSymbolNotFound);
  if (pointer) *pointer = reinterpret_cast<void*>(found->begin);
  if (bytes) *bytes = found->size();
  return cudaSuccess;
}
cudaError_t cudaLibraryGetKernelCount(unsigned* count, cudaLibrary_t library) {
  *count = static_cast<unsigned>(reinterpret_cast<LoadedModule*>(library)->kernel_names().size());
  return cudaSuccess;
}

}  // extern "C"
#pragma GCC visibility pop
