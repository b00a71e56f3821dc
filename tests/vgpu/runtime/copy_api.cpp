// Copies and fills. Every range is checked against its allocation, whichever side it lies on. Which of them wait for
// what is CUDA's "API synchronization behavior".
#include <algorithm>
#include <cstring>

#include "core/settings.h"
#include "exec/report.h"
#include "runtime/state.h"

namespace tweedie::vgpu {

u8* range_of(const char* call, const void* pointer, size_t bytes) {
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

namespace {

bool is_of(const void* pointer, std::initializer_list<MemoryKind> kinds) {
  const Allocation* found = Memory::instance().find(reinterpret_cast<u64>(pointer));
  return found && std::find(kinds.begin(), kinds.end(), found->kind) != kinds.end();
}
bool is_pageable(const void* pointer) {
  return Memory::instance().find(reinterpret_cast<u64>(pointer)) == nullptr;
}
bool is_host(const void* pointer) {
  return is_pageable(pointer) || is_of(pointer, {MemoryKind::pinned, MemoryKind::registered});
}
bool is_visible_to_host(const void* pointer) {
  return is_host(pointer) || is_of(pointer, {MemoryKind::managed});
}

bool wrong_direction(const void* to, const void* from, cudaMemcpyKind kind) {
  // Plain device memory on a side that is said to be the host's, or host memory where the device's is said.
  auto device_only = [](const void* p) { return is_of(p, {MemoryKind::device, MemoryKind::module}); };
  if (kind == cudaMemcpyHostToDevice) return device_only(from);
  if (kind == cudaMemcpyDeviceToHost) return device_only(to);
  if (kind == cudaMemcpyHostToHost) return device_only(to) || device_only(from);
  if (kind == cudaMemcpyDeviceToDevice) return false;
  return kind != cudaMemcpyDefault;
}

// What is wrong with a copy, after a report; the host addresses where nothing is.
cudaError_t resolve(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, u8*& target, const u8*& source) {
  if (wrong_direction(to, from, kind)) {
    report("memcheck: cudaMemcpy: a device pointer on the host's side of the copy");
    return cudaErrorInvalidMemcpyDirection;
  }
  target = range_of("cudaMemcpy (destination)", to, bytes);
  source = range_of("cudaMemcpy (source)", from, bytes);
  return target && source ? cudaSuccess : cudaErrorInvalidValue;
}

void check_source(const char* call, const void* from, size_t bytes) {
  const i64 hole = Memory::instance().first_unwritten(reinterpret_cast<u64>(from), bytes);
  if (hole >= 0) report(fmt::format("initcheck: {}: byte {} of the {} copied was never written", call, hole, bytes));
}

}  // namespace

cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (const cudaError_t sticky = sticky_error()) return sticky;
  if (bytes == 0) return cudaSuccess;
  u8* target = nullptr;
  const u8* source = nullptr;
  if (const cudaError_t error = resolve(to, from, bytes, kind, target, source)) return error;
  if (settings().initialised) {
    if (!is_host(from) && is_host(to)) check_source("cudaMemcpy", from, bytes);
    if (!is_host(from) && !is_host(to))
      Memory::instance().copy_written(reinterpret_cast<u64>(to), reinterpret_cast<u64>(from), bytes);
    else
      Memory::instance().mark_written(reinterpret_cast<u64>(to), bytes);
  }
  std::memmove(target, source, bytes);
  return cudaSuccess;
}

cudaError_t fill(void* to, int value, size_t bytes, unsigned element) {
  if (const cudaError_t sticky = sticky_error()) return sticky;
  if (bytes == 0) return cudaSuccess;
  u8* target = range_of("cudaMemset", to, bytes);
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

namespace {

// Rows of `width` bytes, each a pitch after the one before; `height` of them to a slice.
struct Transfer {
  char* to;
  size_t to_pitch, to_slice;
  const char* from;
  size_t from_pitch, from_slice;
  size_t width, height, depth;
  cudaMemcpyKind kind;

  template <class Row>
  cudaError_t each_row(const Row& row) const {
    for (size_t z = 0; z < depth; ++z)
      for (size_t y = 0; y < height; ++y)
        if (const cudaError_t error =
                row(to + z * to_slice + y * to_pitch, from + z * from_slice + y * from_pitch, width))
          return error;
    return cudaSuccess;
  }
  cudaError_t run() const {
    return each_row(
        [this](char* to_row, const char* from_row, size_t bytes) { return copy(to_row, from_row, bytes, kind); });
  }
  cudaError_t check() const {
    if (const cudaError_t sticky = sticky_error()) return sticky;
    return each_row([this](char* to_row, const char* from_row, size_t bytes) {
      u8* target = nullptr;
      const u8* source = nullptr;
      return bytes ? resolve(to_row, from_row, bytes, kind, target, source) : cudaSuccess;
    });
  }
};

Transfer line(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return {static_cast<char*>(to), bytes, bytes, static_cast<const char*>(from), bytes, bytes, bytes, 1, 1, kind};
}
Transfer box(const cudaMemcpy3DParms& p) {
  const auto place = [](const cudaPitchedPtr& ptr, const cudaPos& at) {
    return static_cast<char*>(ptr.ptr) + at.z * ptr.pitch * ptr.ysize + at.y * ptr.pitch + at.x;
  };
  return {place(p.dstPtr, p.dstPos),
          p.dstPtr.pitch,
          p.dstPtr.pitch * p.dstPtr.ysize,
          place(p.srcPtr, p.srcPos),
          p.srcPtr.pitch,
          p.srcPtr.pitch * p.srcPtr.ysize,
          p.extent.width,
          p.extent.height,
          p.extent.depth,
          p.kind};
}

// Takes the bytes of pageable memory at the call, as CUDA stages them.
std::function<cudaError_t()> staged(Transfer transfer) {
  auto bytes = std::make_shared<std::vector<char>>();
  bytes->reserve(transfer.width * transfer.height * transfer.depth);
  (void)transfer.each_row([&](char*, const char* from, size_t width) {
    bytes->insert(bytes->end(), from, from + width);
    return cudaSuccess;
  });
  transfer.from = bytes->data();
  transfer.from_pitch = transfer.width;
  transfer.from_slice = transfer.width * transfer.height;
  return [transfer, bytes] { return transfer.run(); };
}

enum class Call : u8 { asynchronous, synchronous };

cudaError_t submit(const Transfer& transfer, cudaStream_t stream, Call call) {
  if (!deferred() && call == Call::synchronous) return transfer.run();
  if (!deferred() || stream_of(stream)->capture)
    return enqueue(stream, NodeType::copy, [transfer] { return transfer.run(); });
  if (const cudaError_t error = transfer.check()) return error;
  const bool stages = is_pageable(transfer.from) && !is_host(transfer.to);
  if (stages && call == Call::synchronous)
    if (const cudaError_t error = wait_for_stream(stream)) return error;
  const cudaError_t error = enqueue(
      stream, NodeType::copy, stages ? staged(transfer) : [transfer] { return transfer.run(); });
  if (error || stages) return error;
  const bool waits = call == Call::synchronous
                         ? is_visible_to_host(transfer.to) || is_visible_to_host(transfer.from)
                         : is_host(transfer.to) && (is_host(transfer.from) || is_pageable(transfer.to));
  return waits ? wait_for_stream(stream) : cudaSuccess;
}

cudaError_t submit_fill(void* to, size_t extent, cudaStream_t stream, Call call, std::function<cudaError_t()> run,
                        const std::function<void(CUgraphNode_st&)>& describe = {}) {
  if (!deferred() && call == Call::synchronous) return run();
  if (deferred() && extent > 0 && !range_of("cudaMemset", to, extent)) return cudaErrorInvalidValue;
  const cudaError_t error = enqueue(stream, NodeType::fill, std::move(run), describe);
  return !error && call == Call::synchronous && is_visible_to_host(to) ? wait_for_stream(stream) : error;
}
cudaError_t submit_fill_3d(const cudaPitchedPtr& p, int value, const cudaExtent& extent, cudaStream_t stream,
                           Call call) {
  const size_t slice = p.pitch * p.ysize, rows = extent.height * extent.depth;
  const size_t bytes =
      rows && extent.width ? (extent.depth - 1) * slice + (extent.height - 1) * p.pitch + extent.width : 0;
  return submit_fill(p.ptr, bytes, stream, call, [=]() -> cudaError_t {
    for (size_t z = 0; z < extent.depth; ++z)
      if (const cudaError_t error =
              fill_2d(static_cast<char*>(p.ptr) + z * slice, p.pitch, value, extent.width, extent.height, 1))
        return error;
    return cudaSuccess;
  });
}

cudaError_t submit_2d(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height,
                      cudaMemcpyKind kind, cudaStream_t stream, Call call) {
  if (width > to_pitch || width > from_pitch) return cudaErrorInvalidPitchValue;
  return submit(
      {static_cast<char*>(to), to_pitch, 0, static_cast<const char*>(from), from_pitch, 0, width, height, 1, kind},
      stream, call);
}
cudaError_t submit_3d(const cudaMemcpy3DParms& p, cudaStream_t stream, Call call) {
  if (p.srcArray || p.dstArray) {
    report("unsupported: cudaMemcpy3D with arrays");
    return cudaErrorNotSupported;
  }
  return submit(box(p), stream, call);
}

const void* symbol_place(const void* symbol, size_t offset, cudaError_t& error) {
  void* base = nullptr;
  error = cudaGetSymbolAddress(&base, symbol);
  return static_cast<char*>(base) + offset;
}

}  // namespace

cudaError_t copy_3d(const cudaMemcpy3DParms& p) {
  return box(p).run();
}

}  // namespace tweedie::vgpu

using namespace tweedie::vgpu;

#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return set_error(submit(line(to, from, bytes, kind), stream, Call::asynchronous));
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return set_error(submit(line(to, from, bytes, kind), nullptr, Call::synchronous));
}
cudaError_t cudaMemcpyPeer(void* to, int, const void* from, int, size_t bytes) {
  return cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToDevice);
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t bytes, cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return set_error(submit_2d(to, to_pitch, from, from_pitch, width, height, kind, stream, Call::asynchronous));
}
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height,
                         cudaMemcpyKind kind) {
  return set_error(submit_2d(to, to_pitch, from, from_pitch, width, height, kind, nullptr, Call::synchronous));
}
cudaError_t cudaMemcpy3DAsync(const cudaMemcpy3DParms* p, cudaStream_t stream) {
  return set_error(submit_3d(*p, stream, Call::asynchronous));
}
cudaError_t cudaMemcpy3D(const cudaMemcpy3DParms* p) {
  return set_error(submit_3d(*p, nullptr, Call::synchronous));
}
cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, size_t bytes, size_t offset,
                                    cudaMemcpyKind kind, cudaStream_t stream) {
  cudaError_t error;
  void* to = const_cast<void*>(symbol_place(symbol, offset, error));
  return error ? error : cudaMemcpyAsync(to, from, bytes, kind, stream);
}
cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  cudaError_t error;
  void* to = const_cast<void*>(symbol_place(symbol, offset, error));
  return error ? error : cudaMemcpy(to, from, bytes, kind);
}
cudaError_t cudaMemcpyFromSymbolAsync(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind,
                                      cudaStream_t stream) {
  cudaError_t error;
  const void* from = symbol_place(symbol, offset, error);
  return error ? error : cudaMemcpyAsync(to, from, bytes, kind, stream);
}
cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  cudaError_t error;
  const void* from = symbol_place(symbol, offset, error);
  return error ? error : cudaMemcpy(to, from, bytes, kind);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return set_error(submit_fill(
      to, bytes, stream, Call::asynchronous, [=] { return fill(to, value, bytes, 1); },
      [&](CUgraphNode_st& node) { node.memset = {to, bytes, static_cast<unsigned>(value), 1, bytes, 1}; }));
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return set_error(submit_fill(to, bytes, nullptr, Call::synchronous, [=] { return fill(to, value, bytes, 1); }));
}
cudaError_t cudaMemset2DAsync(void* to, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
  return cudaMemset3DAsync({to, pitch, width, height}, value, {width, height, 1}, stream);
}
cudaError_t cudaMemset2D(void* to, size_t pitch, int value, size_t width, size_t height) {
  return cudaMemset3D({to, pitch, width, height}, value, {width, height, 1});
}
cudaError_t cudaMemset3DAsync(cudaPitchedPtr p, int value, cudaExtent extent, cudaStream_t stream) {
  return set_error(submit_fill_3d(p, value, extent, stream, Call::asynchronous));
}
cudaError_t cudaMemset3D(cudaPitchedPtr p, int value, cudaExtent extent) {
  return set_error(submit_fill_3d(p, value, extent, nullptr, Call::synchronous));
}

}  // extern "C"
#pragma GCC visibility pop
