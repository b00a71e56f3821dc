#include "kernels/runtime/stream.h"

#include <cstring>

#include "kernels/runtime/error.h"

namespace tweedie {
namespace {

/// For devices that do work when it is issued.
class ImmediateGraph final : public Graph {
 public:
  void run(const std::function<void()>& work) override { work(); }
};

/// Work on the host is done when the call returns, so this stream is only a name for the host allocator and memcpy.
class HostStream final : public Stream {
 public:
  explicit HostStream(DeviceKind kind) : kind_(kind) {}
  Device device() const override { return {kind_, 0}; }
  Allocator& allocator() override { return host_allocator(); }
  void synchronize() override {}
  void copy(void* to, const void* from, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  void copy_from_host(void* to, const void* from, std::size_t bytes) override { copy(to, from, bytes); }
  void copy_to_host(void* to, const void* from, std::size_t bytes) override { copy(to, from, bytes); }
  void zero(void* to, std::size_t bytes) override {
    if (bytes > 0) std::memset(to, 0, bytes);
  }

 private:
  DeviceKind kind_;
};

struct Backend {
  StreamFactory make = nullptr;
  DeviceProbe why_not = nullptr;
};

Backend& backend_of(DeviceKind kind) {
  static Backend backends[device_kinds] = {};
  return backends[static_cast<int>(kind)];
}

Stream& make_cpu_stream(int index) {
  require(index == 0, "device cpu:{}: there is one cpu device, cpu:0", index);
  static HostStream stream(DeviceKind::cpu);
  return stream;
}

Stream& make_reference_stream(int index) {
  require(index == 0, "device reference:{}: there is one reference device", index);
  static HostStream stream(DeviceKind::reference);
  return stream;
}

const bool registered = register_backend(DeviceKind::cpu, &make_cpu_stream) &&
                        register_backend(DeviceKind::reference, &make_reference_stream);

}  // namespace

std::unique_ptr<Graph> Stream::make_graph() {
  return std::make_unique<ImmediateGraph>();
}

bool register_backend(DeviceKind kind, StreamFactory make, DeviceProbe why_not) {
  backend_of(kind) = {make, why_not};
  return true;
}

bool has_backend(DeviceKind kind) {
  return backend_of(kind).make != nullptr;
}

std::string why_unavailable(Device device) {
  const Backend& backend = backend_of(device.kind);
  if (backend.make == nullptr) return fmt::format("this build has no {} backend", name_of(device.kind));
  return backend.why_not == nullptr ? std::string() : backend.why_not(device.index);
}

Stream& default_stream(Device device) {
  const StreamFactory make = backend_of(device.kind).make;
  require(make != nullptr, "device {}: this build has no such backend", name_of(device.kind));
  return make(device.index);
}

}  // namespace tweedie
