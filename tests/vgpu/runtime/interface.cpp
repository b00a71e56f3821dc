#include "libraries/interface.h"

#include "core/settings.h"
#include "exec/report.h"
#include "runtime/state.h"

using namespace tweedie::vgpu;

#pragma GCC visibility push(default)
extern "C" {

void* vgpu_interface_view(const void* device, size_t bytes, size_t pitch, size_t count, int write, const char* call,
                          const char* what) {
  Memory& memory = Memory::instance();
  const u64 address = reinterpret_cast<u64>(device);
  const u64 extent = count ? (count - 1) * pitch + bytes : 0;
  u8* host = memory.host_pointer(address, extent);
  if (!host) {
    Allocation* inside = memory.find(address);
    const std::string place = inside && !inside->freed ? fmt::format("allocation #{} has {} bytes from there",
                                                                     inside->id, inside->end - address)
                                                       : memory.describe(address);
    report(fmt::format("memcheck: {}: {} covers {} bytes at {:#x}: {}", call, what, extent, address, place));
    return nullptr;
  }
  if (settings().initialised)
    for (size_t k = 0; k < count; ++k) {
      if (write) {
        memory.mark_written(address + k * pitch, bytes);
      } else if (memory.first_unwritten(address + k * pitch, bytes) >= 0) {
        report(fmt::format("initcheck: {}: {} holds memory that nothing wrote (piece {} of {})", call, what, k, count));
        break;
      }
    }
  return host;
}

cudaError_t vgpu_interface_enqueue(cudaStream_t stream, cudaError_t (*function)(void*), void (*release)(void*),
                                   void* data) {
  std::shared_ptr<void> held(data, release);
  return enqueue(stream, NodeType::host, [=] {
    if (const cudaError_t sticky = sticky_error()) return sticky;
    return function(held.get());
  });
}

void vgpu_interface_report(const char* text) {
  report(text);
}

}  // extern "C"
#pragma GCC visibility pop
