#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <vector>

#include "kernels/runtime/allocator.h"
#include "kernels/runtime/ring.h"

namespace tweedie {

/// Pinned host memory that bytes pass through between the host and a device: a ring, so that a copy to the device
/// returns once its bytes stand there, with up to 16 MiB under way. Large copies go to the device on a stream of their
/// own, into a ring on the device, while the kernels issued before them still run; from there the device copies them
/// where they belong, in the order of the work's stream.
class PinnedStaging {
 public:
  explicit PinnedStaging(Allocator& device_memory) : device_memory_(device_memory) {}
  PinnedStaging(const PinnedStaging&) = delete;
  PinnedStaging& operator=(const PinnedStaging&) = delete;
  void to_device(cudaStream_t stream, void* to, const void* from, std::size_t bytes);
  void to_host(cudaStream_t stream, void* to, const void* from, std::size_t bytes);

 private:
  static constexpr std::size_t ring_bytes = std::size_t{16} << 20, most_pieces = 128;
  static constexpr std::size_t piece_bytes = std::size_t{4} << 20;
  static constexpr std::size_t large_bytes = std::size_t{64} << 10;  // smaller ones take less time than the detour

  /// An event that returns to its pool once it has passed.
  class Passed {
   public:
    Passed(PinnedStaging& owner, cudaStream_t stream);
    void wait();

   private:
    PinnedStaging* owner_;
    cudaEvent_t event_;
  };
  std::byte* take(std::size_t bytes);
  void to_device_beside(cudaStream_t stream, void* to, std::size_t offset, std::size_t bytes);

  Allocator& device_memory_;
  Ring<Passed> ring_{ring_bytes, most_pieces};
  std::byte* pinned_ = nullptr;     // never freed: the stream lives as long as the program
  std::byte* on_device_ = nullptr;  // likewise; a place for each in pinned_
  cudaStream_t copies_ = nullptr;
  cudaEvent_t arrived_ = nullptr, landed_[2] = {};
  std::vector<cudaEvent_t> idle_events_;
};

}  // namespace tweedie
