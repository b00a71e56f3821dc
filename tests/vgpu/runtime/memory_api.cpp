// Allocation, copies and fills. Every range is checked against its allocation, whichever side it lies on.
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

namespace tweedie::vgpu {
namespace {

// The host address of a range that an API call names; null after a report. A plain host pointer is its own address.
u8* range(const char* call, const void* pointer, size_t bytes) {
  const u64 address = reinterpret_cast<u64>(pointer);
  Memory& memory = Memory::instance();
  if (Allocation* allocation = memory.find(address); allocation && !allocation->freed) {
    if (bytes <= allocation->end - address) return reinterpret_cast<u8*>(address + static_cast<u64>(allocation->delta));
    report(fmt::format("memcheck: {}: {} bytes at offset {} of allocation #{} of {} bytes", call, bytes,
                       address - allocation->begin, allocation->id, allocation->size()));
    return nullptr;
  }
  if (memory.is_device_address(address)) {
    report(fmt::format("memcheck: {}: {} bytes at {:#x}: {}", call, bytes, address, memory.describe(address)));
    return nullptr;
  }
  return const_cast<u8*>(static_cast<const u8*>(pointer));
}

bool is_device(const void* pointer) {
  Allocation* allocation = Memory::instance().find(reinterpret_cast<u64>(pointer));
  return allocation && allocation->kind != MemoryKind::pinned && allocation->kind != MemoryKind::registered;
}

bool wrong_direction(const void* to, const void* from, cudaMemcpyKind kind) {
  // Plain device memory on a side that is said to be the host's, or host memory where the device's is said.
  auto device_only = [](const void* p) {
    Allocation* a = Memory::instance().find(reinterpret_cast<u64>(p));
    return a && (a->kind == MemoryKind::device || a->kind == MemoryKind::module);
  };
  if (kind == cudaMemcpyHostToDevice) return device_only(from);
  if (kind == cudaMemcpyDeviceToHost) return device_only(to);
  if (kind == cudaMemcpyHostToHost) return device_only(to) || device_only(from);
  if (kind == cudaMemcpyDeviceToDevice) return false;
  return kind != cudaMemcpyDefault;
}

void check_source(const char* call, const void* from, size_t bytes) {
  const i64 hole = Memory::instance().first_unwritten(reinterpret_cast<u64>(from), bytes);
  if (hole >= 0) report(fmt::format("initcheck: {}: byte {} of the {} copied was never written", call, hole, bytes));
}

}  // namespace

cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (const cudaError_t sticky = sticky_error()) return sticky;
  if (bytes == 0) return cudaSuccess;
  if (wrong_direction(to, from, kind)) {
    report("memcheck: cudaMemcpy: a device pointer on the host's side of the copy");
    return cudaErrorInvalidMemcpyDirection;
  }
  u8* target = range("cudaMemcpy (destination)", to, bytes);
  const u8* source = range("cudaMemcpy (source)", from, bytes);
  if (!target || !source) return cudaErrorInvalidValue;
  if (settings().initialised) {
    if (is_device(from) && !is_device(to)) check_source("cudaMemcpy", from, bytes);
    if (is_device(from) && is_device(to))
      Memory::instance().copy_written(reinterpret_cast<u64>(to), reinterpret_cast<u64>(from), bytes);
    else
      Memory::instance().mark_written(reinterpret_cast<u64>(to), bytes);
  }
  std::memmove(target, source, bytes);
  return cudaSuccess;
}

cudaError_t copy_2d(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height,
                    cudaMemcpyKind kind) {
  if (width > to_pitch || width > from_pitch) return cudaErrorInvalidPitchValue;
  for (size_t y = 0; y < height; ++y)
    if (const cudaError_t error =
            copy(static_cast<char*>(to) + y * to_pitch, static_cast<const char*>(from) + y * from_pitch, width, kind))
      return error;
  return cudaSuccess;
}

cudaError_t copy_3d(const cudaMemcpy3DParms& p) {
  for (size_t z = 0; z < p.extent.depth; ++z) {
    char* to = static_cast<char*>(p.dstPtr.ptr) + (z + p.dstPos.z) * p.dstPtr.pitch * p.dstPtr.ysize +
               p.dstPos.y * p.dstPtr.pitch + p.dstPos.x;
    const char* from = static_cast<const char*>(p.srcPtr.ptr) + (z + p.srcPos.z) * p.srcPtr.pitch * p.srcPtr.ysize +
                       p.srcPos.y * p.srcPtr.pitch + p.srcPos.x;
    if (const cudaError_t error =
            copy_2d(to, p.dstPtr.pitch, from, p.srcPtr.pitch, p.extent.width, p.extent.height, p.kind))
      return error;
  }
  return cudaSuccess;
}

cudaError_t fill(void* to, int value, size_t bytes, unsigned element) {
  if (const cudaError_t sticky = sticky_error()) return sticky;
  if (bytes == 0) return cudaSuccess;
  u8* target = range("cudaMemset", to, bytes);
  if (!target) return cudaErrorInvalidValue;
  if (element == 1)
    std::memset(target, value, bytes);
  else
    for (size_t k = 0; k + element <= bytes; k += element) std::memcpy(target + k, &value, element);
  Memory::instance().mark_written(reinterpret_cast<u64>(to), bytes);
  return cudaSuccess;
}
cudaError_t fill_2d(void* to, size_t pitch, int value, size_t width, size_t height, unsigned element) {
  for (size_t y = 0; y < height; ++y)
    if (const cudaError_t error = fill(static_cast<char*>(to) + y * pitch, value, width * element, element))
      return error;
  return cudaSuccess;
}

}  // namespace tweedie::vgpu

using namespace tweedie::vgpu;

namespace {

cudaError_t allocate(void** pointer, size_t size, MemoryKind kind) {
  if (!pointer) return set_error(cudaErrorInvalidValue);
  if (const cudaError_t sticky = sticky_error()) return set_error(sticky);
  *pointer = nullptr;
  if (size == 0) return cudaSuccess;
  Allocation* made = Memory::instance().allocate(size, kind);
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
CUmemPoolHandle_st* default_pool() {
  static CUmemPoolHandle_st pool;
  return &pool;
}
const void* symbol_place(const void* symbol, size_t offset, cudaError_t& error) {
  void* base = nullptr;
  error = cudaGetSymbolAddress(&base, symbol);
  return static_cast<char*>(base) + offset;
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

cudaError_t cudaMallocFromPoolAsync(void** pointer, size_t size, cudaMemPool_t pool, cudaStream_t) {
  const cudaError_t error = allocate(pointer, size, MemoryKind::device);
  const std::lock_guard lock(State::instance().mutex);
  if (!error) pool->used[*pointer] = size;
  return error;
}
cudaError_t cudaMallocAsync(void** pointer, size_t size, cudaStream_t stream) {
  return cudaMallocFromPoolAsync(pointer, size, default_pool(), stream);
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  if (stream_of(stream)->capture) return cudaSuccess;  // the graph keeps what was allocated while it was captured
  return release(pointer, "cudaFreeAsync");
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

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return set_error(enqueue(stream, NodeType::copy, [=] { return copy(to, from, bytes, kind); }));
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return set_error(copy(to, from, bytes, kind));
}
cudaError_t cudaMemcpyPeer(void* to, int, const void* from, int, size_t bytes) {
  return set_error(copy(to, from, bytes, cudaMemcpyDeviceToDevice));
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t bytes, cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return set_error(
      enqueue(stream, NodeType::copy, [=] { return copy_2d(to, to_pitch, from, from_pitch, width, height, kind); }));
}
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height,
                         cudaMemcpyKind kind) {
  return set_error(copy_2d(to, to_pitch, from, from_pitch, width, height, kind));
}
cudaError_t cudaMemcpy3DAsync(const cudaMemcpy3DParms* p, cudaStream_t stream) {
  if (p->srcArray || p->dstArray) {
    report("unsupported: cudaMemcpy3D with arrays");
    return set_error(cudaErrorNotSupported);
  }
  return set_error(enqueue(stream, NodeType::copy, [q = *p] { return copy_3d(q); }));
}
cudaError_t cudaMemcpy3D(const cudaMemcpy3DParms* p) {
  return cudaMemcpy3DAsync(p, nullptr);
}
cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, size_t bytes, size_t offset,
                                    cudaMemcpyKind kind, cudaStream_t stream) {
  cudaError_t error;
  void* to = const_cast<void*>(symbol_place(symbol, offset, error));
  return error ? error : cudaMemcpyAsync(to, from, bytes, kind, stream);
}
cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  return cudaMemcpyToSymbolAsync(symbol, from, bytes, offset, kind, nullptr);
}
cudaError_t cudaMemcpyFromSymbolAsync(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind,
                                      cudaStream_t stream) {
  cudaError_t error;
  const void* from = symbol_place(symbol, offset, error);
  return error ? error : cudaMemcpyAsync(to, from, bytes, kind, stream);
}
cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  return cudaMemcpyFromSymbolAsync(to, symbol, bytes, offset, kind, nullptr);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return set_error(enqueue(
      stream, NodeType::fill, [=] { return fill(to, value, bytes, 1); },
      [&](CUgraphNode_st& node) { node.memset = {to, bytes, static_cast<unsigned>(value), 1, bytes, 1}; }));
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return set_error(fill(to, value, bytes, 1));
}
cudaError_t cudaMemset2DAsync(void* to, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
  return set_error(enqueue(stream, NodeType::fill, [=] { return fill_2d(to, pitch, value, width, height, 1); }));
}
cudaError_t cudaMemset2D(void* to, size_t pitch, int value, size_t width, size_t height) {
  return set_error(fill_2d(to, pitch, value, width, height, 1));
}
cudaError_t cudaMemset3DAsync(cudaPitchedPtr p, int value, cudaExtent extent, cudaStream_t stream) {
  return set_error(enqueue(stream, NodeType::fill, [=]() -> cudaError_t {
    for (size_t z = 0; z < extent.depth; ++z)
      if (const cudaError_t error = fill_2d(static_cast<char*>(p.ptr) + z * p.pitch * p.ysize, p.pitch, value,
                                            extent.width, extent.height, 1))
        return error;
    return cudaSuccess;
  }));
}
cudaError_t cudaMemset3D(cudaPitchedPtr p, int value, cudaExtent extent) {
  return cudaMemset3DAsync(p, value, extent, nullptr);
}

}  // extern "C"
#pragma GCC visibility pop
