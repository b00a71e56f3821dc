// Allocation: memory of the device and of the host, pools, what a pointer is.
#include <cstring>

#include "core/settings.h"
#include "exec/report.h"
#include "runtime/state.h"

struct CUmemPoolHandle_st {
  u_int64_t threshold = 0;
  std::map<const void*, size_t> used;  // what cudaFreeAsync or cudaFree has not taken back
  u_int64_t used_bytes() const {
    u_int64_t sum = 0;
    for (const auto& [pointer, bytes] : used)
      if (const auto* allocation = tweedie::vgpu::Memory::instance().find(reinterpret_cast<u_int64_t>(pointer));
          allocation && !allocation->freed)
        sum += bytes;
    return sum;
  }
};

using namespace tweedie::vgpu;

namespace {

cudaError_t allocate(void** pointer, size_t size, MemoryKind kind) {
  if (!pointer) return set_error(cudaErrorInvalidValue);
  if (const cudaError_t sticky = sticky_error()) return set_error(sticky);
  *pointer = nullptr;
  if (size == 0) return cudaSuccess;
  Allocation* made = Memory::instance().allocate(size, kind);
  if (!made && deferred() && !wait_for_device()) made = Memory::instance().allocate(size, kind);  // after cudaFreeAsync
  if (!made) return set_error(cudaErrorMemoryAllocation);
  *pointer = reinterpret_cast<void*>(made->begin);
  return cudaSuccess;
}
cudaError_t release(void* pointer, const char* call) {
  if (!pointer) return cudaSuccess;
  if (!Memory::instance().release(reinterpret_cast<u64>(pointer))) {
    report(fmt::format("memcheck: {}({}): no live allocation starts there: {}", call, pointer,
                       Memory::instance().describe(reinterpret_cast<u64>(pointer))));
    return set_error(cudaErrorInvalidValue);
  }
  return set_error(sticky_error());
}
// The live allocation of that start holds again what fresh memory does.
void forget(void* pointer) {
  Memory& memory = Memory::instance();
  Allocation* allocation = memory.find(reinterpret_cast<u64>(pointer));
  if (!allocation || allocation->freed) return;
  std::memset(memory.host_pointer(allocation->begin, allocation->size()), 0xff, allocation->size());
  if (u8* written = allocation->written.load()) std::memset(written, 0, allocation->size());
}
CUmemPoolHandle_st* default_pool() {
  static CUmemPoolHandle_st pool;
  return &pool;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaMalloc(void** pointer, size_t size) {
  return allocate(pointer, size, MemoryKind::device);
}
cudaError_t cudaMallocManaged(void** pointer, size_t size, unsigned) {
  return allocate(pointer, size, MemoryKind::managed);
}
cudaError_t cudaMallocHost(void** pointer, size_t size) {
  return allocate(pointer, size, MemoryKind::pinned);
}
cudaError_t cudaHostAlloc(void** pointer, size_t size, unsigned) {
  return allocate(pointer, size, MemoryKind::pinned);
}
cudaError_t cudaMallocPitch(void** pointer, size_t* pitch, size_t width, size_t height) {
  *pitch = (width + 511) / 512 * 512;
  return allocate(pointer, *pitch * height, MemoryKind::device);
}
cudaError_t cudaMalloc3D(cudaPitchedPtr* pointer, cudaExtent extent) {
  pointer->pitch = (extent.width + 511) / 512 * 512;
  pointer->xsize = extent.width;
  pointer->ysize = extent.height;
  return allocate(&pointer->ptr, pointer->pitch * extent.height * extent.depth, MemoryKind::device);
}
cudaError_t cudaFree(void* pointer) {
  if (pointer) (void)wait_for_device();
  return release(pointer, "cudaFree");
}
cudaError_t cudaFreeHost(void* pointer) {
  return release(pointer, "cudaFreeHost");
}
cudaError_t cudaHostRegister(void* pointer, size_t size, unsigned) {
  if (Memory::instance().find(reinterpret_cast<u64>(pointer))) return set_error(cudaErrorHostMemoryAlreadyRegistered);
  Memory::instance().register_host(pointer, size);
  return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* pointer) {
  return Memory::instance().release(reinterpret_cast<u64>(pointer)) ? cudaSuccess
                                                                    : set_error(cudaErrorHostMemoryNotRegistered);
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  if (!Memory::instance().find(reinterpret_cast<u64>(host))) return set_error(cudaErrorInvalidValue);
  *device = host;
  return cudaSuccess;
}
cudaError_t cudaHostGetFlags(unsigned* flags, void* host) {
  const Allocation* found = Memory::instance().find(reinterpret_cast<u64>(host));
  if (!found || (found->kind != MemoryKind::pinned && found->kind != MemoryKind::registered))
    return set_error(cudaErrorInvalidValue);
  *flags = cudaHostAllocMapped;  // with unified addresses all of it is
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total) {
  *total = settings().device_memory;
  *free_bytes = *total - std::min<size_t>(*total, Memory::instance().used());
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  std::memset(attributes, 0, sizeof *attributes);
  Allocation* found = Memory::instance().find(reinterpret_cast<u64>(pointer));
  if (!found || found->freed) {
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->device = -2;
    attributes->hostPointer = const_cast<void*>(pointer);
    return cudaSuccess;
  }
  const bool host = found->kind == MemoryKind::pinned || found->kind == MemoryKind::registered;
  attributes->type = host                                 ? cudaMemoryTypeHost
                     : found->kind == MemoryKind::managed ? cudaMemoryTypeManaged
                                                          : cudaMemoryTypeDevice;
  attributes->devicePointer = const_cast<void*>(pointer);
  if (attributes->type != cudaMemoryTypeDevice) attributes->hostPointer = const_cast<void*>(pointer);
  return cudaSuccess;
}

cudaError_t cudaMallocFromPoolAsync(void** pointer, size_t size, cudaMemPool_t pool, cudaStream_t stream) {
  if (const cudaError_t error = allocate(pointer, size, MemoryKind::device)) return error;
  {
    const std::lock_guard lock(State::instance().mutex);
    pool->used[*pointer] = size;
  }
  // The memory begins in the stream's order: what another stream wrote there before is lost.
  if (deferred() && *pointer && !stream_of(stream)->capture)
    return set_error(enqueue(stream, NodeType::alloc, [begin = *pointer] {
      forget(begin);
      return cudaSuccess;
    }));
  return cudaSuccess;
}
cudaError_t cudaMallocAsync(void** pointer, size_t size, cudaStream_t stream) {
  return cudaMallocFromPoolAsync(pointer, size, default_pool(), stream);
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  if (stream_of(stream)->capture) return cudaSuccess;  // the graph keeps what was allocated while it was captured
  if (!deferred() || !pointer) return release(pointer, "cudaFreeAsync");
  if (!range_of("cudaFreeAsync", pointer, 1)) return set_error(cudaErrorInvalidValue);
  return set_error(enqueue(stream, NodeType::release, [=] { return release(pointer, "cudaFreeAsync"); }));
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
  *pool = default_pool();
  return cudaSuccess;
}
cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int) {
  *pool = default_pool();
  return cudaSuccess;
}
cudaError_t cudaDeviceSetMemPool(int, cudaMemPool_t) {
  return cudaSuccess;
}
cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps*) {
  *pool = new CUmemPoolHandle_st;
  return cudaSuccess;
}
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
  if (pool != default_pool()) delete pool;
  return cudaSuccess;
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) {
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAccess(cudaMemPool_t, const cudaMemAccessDesc*, size_t) {
  return cudaSuccess;
}
cudaError_t cudaMemPoolGetAccess(cudaMemAccessFlags* flags, cudaMemPool_t, cudaMemLocation*) {
  *flags = cudaMemAccessFlagsProtReadWrite;
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  if (attribute == cudaMemPoolAttrReleaseThreshold) pool->threshold = *static_cast<u64*>(value);
  return cudaSuccess;
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  switch (attribute) {
    case cudaMemPoolAttrReleaseThreshold:
      *static_cast<u64*>(value) = pool->threshold;
      break;
    case cudaMemPoolAttrReservedMemCurrent:
    case cudaMemPoolAttrReservedMemHigh:
    case cudaMemPoolAttrUsedMemCurrent:
    case cudaMemPoolAttrUsedMemHigh:
      *static_cast<u64*>(value) = pool->used_bytes();
      break;
    default:
      *static_cast<int*>(value) = 1;
      break;
  }
  return cudaSuccess;
}
cudaError_t cudaMemPrefetchAsync(const void*, size_t, cudaMemLocation, unsigned, cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaMemAdvise(const void*, size_t, cudaMemoryAdvise, cudaMemLocation) {
  return cudaSuccess;
}
cudaError_t cudaStreamAttachMemAsync(cudaStream_t, void*, size_t, unsigned) {
  return cudaSuccess;
}

}  // extern "C"
#pragma GCC visibility pop
