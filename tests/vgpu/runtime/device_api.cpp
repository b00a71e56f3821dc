// Devices, their properties and limits.
#include <unistd.h>

#include <cstring>

#include "core/settings.h"
#include "exec/profile.h"
#include "runtime/device.h"
#include "runtime/state.h"

namespace tweedie::vgpu {

const Device& this_device() {
  static const Device device = [] {
    Device made{};
    int architecture = settings().architecture;
    if (architecture == 0) {
      architecture = 80;
      for (const auto& module : State::instance().modules)
        if (module->needs() > 80) architecture = 90;
    }
    made.major = architecture / 10;
    made.minor = architecture % 10;
    const bool hopper = made.major >= 9;
    made.name = hopper ? "Tweedie virtual GPU (as an H100)" : "Tweedie virtual GPU (as an A100)";
    made.multiprocessors = hopper ? 132 : 108;
    made.shared_opt_in = (hopper ? 227 : 163) * 1024;
    made.shared_per_multiprocessor = (hopper ? 228 : 164) * 1024;
    made.l2_bytes = (hopper ? 50ull : 40ull) << 20;
    return made;
  }();
  return device;
}

}  // namespace tweedie::vgpu

using namespace tweedie::vgpu;

#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : set_error(cudaErrorInvalidDevice);
}
cudaError_t cudaInitDevice(int device, unsigned, unsigned) {
  return cudaSetDevice(device);
}
cudaError_t cudaSetDeviceFlags(unsigned) {
  return cudaSuccess;
}
cudaError_t cudaGetDeviceFlags(unsigned* flags) {
  *flags = 0;
  return cudaSuccess;
}
cudaError_t cudaChooseDevice(int* device, const cudaDeviceProp*) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetValidDevices(int*, int) {
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t error = refuse_while_capturing(nullptr)) return error;
  const cudaError_t error = wait_for_device();
  std::fflush(stdout);
  return set_error(error);
}
cudaError_t cudaDeviceReset() {
  (void)wait_for_device();
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  if (device != 0 || peer != 0) return set_error(cudaErrorInvalidDevice);
  *can = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least) *least = 0;
  if (greatest) *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int) {
  std::snprintf(text, static_cast<size_t>(length), "0000:00:00.0");
  return cudaSuccess;
}
cudaError_t cudaDeviceGetByPCIBusId(int* device, const char* text) {
  unsigned domain = 0, bus = 0, place = 0;
  const bool full = std::sscanf(text, "%x:%x:%x", &domain, &bus, &place) == 3;
  const bool known = (full || std::sscanf(text, "%x:%x", &bus, &place) == 2) && (domain | bus | place) == 0;
  if (!known) return set_error(cudaErrorInvalidDevice);
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) {  // there is no other device
  return set_error(cudaErrorInvalidDevice);
}
cudaError_t cudaDeviceDisablePeerAccess(int) {
  return set_error(cudaErrorInvalidDevice);
}
cudaError_t cudaDeviceGetP2PAttribute(int*, cudaDeviceP2PAttr, int, int) {
  return set_error(cudaErrorInvalidDevice);
}
cudaError_t cudaDeviceGetLimit(size_t* value, cudaLimit limit) {
  State& state = State::instance();
  const std::lock_guard lock(state.mutex);
  *value = state.limits[limit];
  return cudaSuccess;
}
// The stack's size counts for kernels that call themselves; the others are kept for whoever asks.
cudaError_t cudaDeviceSetLimit(cudaLimit limit, size_t value) {
  State& state = State::instance();
  const std::lock_guard lock(state.mutex);
  if (limit == cudaLimitStackSize && value > 512 * 1024) return set_error(cudaErrorInvalidValue);
  state.limits[limit] = value;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetCacheConfig(cudaFuncCache* config) {
  *config = cudaFuncCachePreferNone;
  return cudaSuccess;
}
cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache) {
  return cudaSuccess;
}
cudaError_t cudaCtxResetPersistingL2Cache() {
  return cudaSuccess;
}
cudaError_t cudaProfilerStart() {
  return cudaSuccess;
}
cudaError_t cudaProfilerStop() {
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (device != 0) return set_error(cudaErrorInvalidDevice);
  const Device& d = this_device();
  std::memset(p, 0, sizeof *p);
  std::snprintf(p->name, sizeof p->name, "%s", d.name);
  p->totalGlobalMem = settings().device_memory;
  p->sharedMemPerBlock = d.shared_per_block;
  p->sharedMemPerBlockOptin = d.shared_opt_in;
  p->sharedMemPerMultiprocessor = d.shared_per_multiprocessor;
  p->reservedSharedMemPerBlock = 1024;
  p->regsPerBlock = p->regsPerMultiprocessor = d.registers;
  p->warpSize = 32;
  p->memPitch = 2147483647;
  p->maxThreadsPerBlock = d.threads_per_block;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 2147483647;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->totalConstMem = d.constant_bytes;
  p->major = d.major;
  p->minor = d.minor;
  p->textureAlignment = 512;
  p->texturePitchAlignment = 32;
  p->multiProcessorCount = d.multiprocessors;
  p->unifiedAddressing = p->managedMemory = p->canMapHostMemory = p->concurrentKernels = 1;
  p->asyncEngineCount = 3;
  p->memoryBusWidth = d.bus_width;
  p->l2CacheSize = static_cast<int>(d.l2_bytes);
  p->persistingL2CacheMaxSize = static_cast<int>(d.l2_bytes / 4 * 3);
  p->maxThreadsPerMultiProcessor = d.threads_per_multiprocessor;
  p->maxBlocksPerMultiProcessor = d.blocks_per_multiprocessor;
  p->streamPrioritiesSupported = p->globalL1CacheSupported = p->localL1CacheSupported = 1;
  p->concurrentManagedAccess = p->computePreemptionSupported = p->cooperativeLaunch = 1;
  p->hostRegisterSupported = p->memoryPoolsSupported = p->pageableMemoryAccess = 1;
  p->canUseHostPointerForRegisteredMem = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device != 0) return set_error(cudaErrorInvalidDevice);
  const Device& d = this_device();
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = d.threads_per_block;
      break;
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY:
      *value = 1024;
      break;
    case cudaDevAttrMaxBlockDimZ:
      *value = 64;
      break;
    case cudaDevAttrMaxGridDimX:
      *value = 2147483647;
      break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
      *value = 65535;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(d.shared_per_block);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(d.shared_opt_in);
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(d.shared_per_multiprocessor);
      break;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      *value = 1024;
      break;
    case cudaDevAttrTotalConstantMemory:
      *value = static_cast<int>(d.constant_bytes);
      break;
    case cudaDevAttrWarpSize:
      *value = 32;
      break;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      *value = d.registers;
      break;
    case cudaDevAttrClockRate:
      *value = d.clock_khz;
      break;
    case cudaDevAttrMemoryClockRate:
      *value = d.memory_clock_khz;
      break;
    case cudaDevAttrGlobalMemoryBusWidth:
      *value = d.bus_width;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = d.multiprocessors;
      break;
    case cudaDevAttrL2CacheSize:
      *value = static_cast<int>(d.l2_bytes);
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = d.threads_per_multiprocessor;
      break;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      *value = d.blocks_per_multiprocessor;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = d.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = d.minor;
      break;
    case cudaDevAttrAsyncEngineCount:
      *value = 3;
      break;
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrComputePreemptionSupported:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrHostRegisterSupported:
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrStreamPrioritiesSupported:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrGlobalL1CacheSupported:
    case cudaDevAttrLocalL1CacheSupported:
      *value = 1;
      break;
    case cudaDevAttrTextureAlignment:
      *value = 512;
      break;
    case cudaDevAttrMaxPitch:
      *value = 2147483647;
      break;
    default:
      *value = 0;
      break;
  }
  return cudaSuccess;
}

}  // extern "C"
#pragma GCC visibility pop
