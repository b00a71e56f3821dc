#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/runtime/caching_allocator.h"
#include "kernels/runtime/cuda.h"
#include "kernels/runtime/pinned_staging.h"

namespace tweedie {

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
  CachingAllocator& allocator() override { return *allocator_; }
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
  /// After an error of the captured work, which this does not hide.
  void abandon_capture() noexcept;
  bool capturing() const { return arena_ != nullptr; }

 private:
  void check(cudaError_t status, std::string_view what, const char* file = __builtin_FILE(),
             int line = __builtin_LINE()) const;

  int index_;
  cudaStream_t handle_ = nullptr;
  cudaDeviceProp properties_ = {};
  std::unique_ptr<CachingAllocator> allocator_;
  PinnedStaging staging_{*allocator_};
  PinnedArena* arena_ = nullptr;  // while capturing
  std::string_view last_operation_;
  Shape last_shape_;
};

/// Whether the stream's work is being captured as a graph: nothing may be timed or read back.
inline bool is_capturing(Stream& stream) {
  return static_cast<CudaStream&>(stream).capturing();
}

}  // namespace tweedie
