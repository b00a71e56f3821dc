#include "kernels/runtime/cuda.h"
#include "kernels/runtime/device_timer.h"

namespace tweedie {
namespace {

class Event {
 public:
  Event() { check_cuda(cudaEventCreate(&event_), "event"); }
  ~Event() { (void)cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

double seconds_between_events(Stream& stream, const std::function<void()>& work) {
  const Event start, end;
  check_cuda(cudaEventRecord(start.get(), cuda_handle(stream)), "event");
  work();
  check_cuda(cudaEventRecord(end.get(), cuda_handle(stream)), "event");
  stream.synchronize();
  float milliseconds = 0.0f;
  check_cuda(cudaEventElapsedTime(&milliseconds, start.get(), end.get()), "event");
  return 1e-3 * milliseconds;
}

const bool registered = register_timer(DeviceKind::cuda, &seconds_between_events);

}  // namespace
}  // namespace tweedie
