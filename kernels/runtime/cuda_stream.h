#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/runtime/cuda.h"

namespace tweedie {

/// Pinned host memory that bytes pass through between the host and a device, so that a copy does not wait for the
/// device: two halves, each free again once the copy that used it has ended.
class PinnedStaging {
 public:
  PinnedStaging() = default;
  ~PinnedStaging();
  PinnedStaging(const PinnedStaging&) = delete;
  PinnedStaging& operator=(const PinnedStaging&) = delete;
  void to_device(cudaStream_t stream, void* to, const void* from, std::size_t bytes);
  void to_host(cudaStream_t stream, void* to, const void* from, std::size_t bytes);

 private:
  static constexpr std::size_t half_bytes = std::size_t{4} << 20;
  struct Half {
    std::byte* data = nullptr;
    cudaEvent_t copied = nullptr;
  };
  Half& next();

  Half halves_[2];
  int turn_ = 0;
};

/// Pinned host memory of the copies that a graph makes when it is launched: all of them stand until it has ended.
class PinnedArena {
 public:
  PinnedArena() = default;
  ~PinnedArena();
  PinnedArena(const PinnedArena&) = delete;
  PinnedArena& operator=(const PinnedArena&) = delete;
  void* copy_of(const void* from, std::size_t bytes);
  void clear() { used_blocks_ = 0; }

 private:
  struct Block {
    void* data = nullptr;
    std::size_t bytes = 0;
  };
  std::vector<Block> blocks_;  // one a copy, grown where the next graph's is larger
  std::size_t used_blocks_ = 0;
};

/// The stream of one CUDA device. Work is ordered; errors of kernels surface at the next call that CUDA reports them
/// to.
class CudaStream final : public Stream {
 public:
  explicit CudaStream(int index);
  Device device() const override { return {DeviceKind::cuda, index_}; }
  Allocator& allocator() override { return *allocator_; }
  void synchronize() override;
  void copy(void* to, const void* from, std::size_t bytes) override;
  void copy_from_host(void* to, const void* from, std::size_t bytes) override;
  void copy_to_host(void* to, const void* from, std::size_t bytes) override;
  void zero(void* to, std::size_t bytes) override;
  std::unique_ptr<Graph> make_graph() override;

  cudaStream_t handle() const { return handle_; }
  const cudaDeviceProp& properties() const { return properties_; }
  void launch(const Launch& plan, const void* kernel, void** arguments);
  /// Host copies go through `arena` from here on, until the capture ends.
  void begin_capture(PinnedArena& arena);
  cudaGraph_t end_capture();

 private:
  void check(cudaError_t status, std::string_view what, const char* file = __builtin_FILE(),
             int line = __builtin_LINE()) const;

  int index_;
  cudaStream_t handle_ = nullptr;
  cudaDeviceProp properties_ = {};
  std::unique_ptr<Allocator> allocator_;
  PinnedStaging staging_;
  PinnedArena* arena_ = nullptr;  // while capturing
  std::string_view last_operation_;
  Shape last_shape_;
};

}  // namespace tweedie
