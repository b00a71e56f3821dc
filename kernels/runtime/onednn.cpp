#include "kernels/runtime/onednn.h"

#include "kernels/runtime/allocator.h"

namespace tweedie::onednn {
namespace {

struct Buffer {
  void* data = nullptr;
  std::size_t bytes = 0;
  ~Buffer() { host_allocator().release(data); }
};

}  // namespace

const dnnl::engine& engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

const dnnl::stream& stream() {
  static const dnnl::stream stream(engine());
  return stream;
}

void* scratch(Slot slot, std::size_t bytes) {
  thread_local Buffer buffers[static_cast<int>(Slot::count)];
  Buffer& buffer = buffers[static_cast<int>(slot)];
  if (buffer.bytes < bytes) {
    host_allocator().release(buffer.data);
    buffer = {};
    buffer.data = host_allocator().allocate(bytes);
    buffer.bytes = bytes;
  }
  return buffer.data;
}

}  // namespace tweedie::onednn
