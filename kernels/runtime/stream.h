#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "kernels/runtime/allocator.h"
#include "kernels/runtime/device.h"

namespace tweedie {

/// Work that is given to a device as one unit. Made by Stream::make_graph.
class Graph {
 public:
  virtual ~Graph() = default;
  /// Does what `work` issues on the stream, from which nothing may be read back before it returns. On cuda the calls
  /// are captured as a graph of kernels and copies, which is then launched once; a graph that has run before is updated
  /// where the new calls are of the same kinds. Elsewhere `work` simply runs.
  virtual void run(const std::function<void()>& work) = 0;
};

/// An ordered queue of work on one device and the memory that goes with it. On the cpu and reference devices work is
/// done when the call returns; on cuda it is done by the time `synchronize` returns.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual Device device() const = 0;
  virtual Allocator& allocator() = 0;
  virtual void synchronize() = 0;
  /// Copies within this device's memory, or between it and the host; ordered with the stream's other work.
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  virtual void copy_from_host(void* to, const void* from, std::size_t bytes) = 0;
  /// Returns when the bytes have arrived.
  virtual void copy_to_host(void* to, const void* from, std::size_t bytes) = 0;
  virtual void zero(void* to, std::size_t bytes) = 0;
  /// The graph must not outlive the stream.
  virtual std::unique_ptr<Graph> make_graph();
};

/// The stream that operations on `device` use. Throws Error where this build or machine has no such device.
Stream& default_stream(Device device);

/// How a backend makes itself known: `make` creates its stream for a device index, at most once each; `why_not` says
/// why this machine has no such device, and nothing where it has (absent: it always has).
using StreamFactory = Stream& (*)(int index);
using DeviceProbe = std::string (*)(int index);
bool register_backend(DeviceKind kind, StreamFactory make, DeviceProbe why_not = nullptr);
/// Whether this build has the backend.
bool has_backend(DeviceKind kind);
/// Empty where `device` can be used, else the reason why not.
std::string why_unavailable(Device device);

}  // namespace tweedie
