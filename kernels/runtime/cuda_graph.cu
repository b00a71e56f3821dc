#include <cstring>

#include "kernels/runtime/cuda_stream.h"

namespace tweedie {

PinnedArena::~PinnedArena() {
  for (const Block& block : blocks_) (void)cudaFreeHost(block.data);
}

void* PinnedArena::copy_of(const void* from, std::size_t bytes) {
  if (used_blocks_ == blocks_.size()) blocks_.emplace_back();
  Block& block = blocks_[used_blocks_++];
  if (block.bytes < bytes) {
    check_cuda(cudaFreeHost(block.data), "pinned memory of a graph");
    block = {};
    check_cuda(cudaMallocHost(&block.data, bytes), "pinned memory of a graph");
    block.bytes = bytes;
  }
  std::memcpy(block.data, from, bytes);
  return block.data;
}

void CudaStream::begin_capture(PinnedArena& arena) {
  // Relaxed: the pool may have to ask CUDA for memory meanwhile.
  check(cudaStreamBeginCapture(handle_, cudaStreamCaptureModeRelaxed), "begin capture");
  arena_ = &arena;
}

cudaGraph_t CudaStream::end_capture() {
  arena_ = nullptr;
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(handle_, &graph), "end capture");
  return graph;
}

void CudaStream::abandon_capture() noexcept {
  arena_ = nullptr;
  cudaGraph_t graph = nullptr;
  (void)cudaStreamEndCapture(handle_, &graph);
  if (graph != nullptr) (void)cudaGraphDestroy(graph);
  (void)cudaGetLastError();  // that the capture was broken off
}

namespace {

/// Memory that tensors of the captured work release is handed out again at once, as in eager work: the graph is
/// launched before anything else is issued, so the stream's order still holds.
class CudaGraph final : public Graph {
 public:
  explicit CudaGraph(CudaStream& stream) : stream_(stream) {
    check_cuda(cudaEventCreateWithFlags(&ended_, cudaEventDisableTiming), "graph");
  }
  ~CudaGraph() override {
    (void)cudaEventSynchronize(ended_);
    if (executable_ != nullptr) (void)cudaGraphExecDestroy(executable_);
    (void)cudaEventDestroy(ended_);
  }

  void run(const std::function<void()>& work) override {
    check_cuda(cudaEventSynchronize(ended_), "graph");  // its pinned memory is free again
    arena_.clear();
    const CachingAllocator::Hold until_launched(stream_.allocator());  // then cudaFree waits for the device
    stream_.begin_capture(arena_);
    try {
      work();
    } catch (...) {
      stream_.abandon_capture();
      throw;
    }
    const cudaGraph_t graph = stream_.end_capture();
    prepare(graph);
    check_cuda(cudaGraphDestroy(graph), "graph");
    check_cuda(cudaGraphLaunch(executable_, stream_.handle()), "graph launch");
    check_cuda(cudaEventRecord(ended_, stream_.handle()), "graph launch");
  }

 private:
  void prepare(cudaGraph_t graph) {
    if (executable_ != nullptr) {
      cudaGraphExecUpdateResultInfo info = {};
      const cudaError_t status = cudaGraphExecUpdate(executable_, graph, &info);
      if (status == cudaSuccess) return;
      require(status == cudaErrorGraphExecUpdateFailure, "graph update: {} ({})", cudaGetErrorString(status),
              cudaGetErrorName(status));
      (void)cudaGetLastError();  // other kernels than last time: a new executable
      check_cuda(cudaGraphExecDestroy(executable_), "graph");
      executable_ = nullptr;
    }
    check_cuda(cudaGraphInstantiate(&executable_, graph, 0), "graph");
  }

  CudaStream& stream_;
  PinnedArena arena_;
  cudaGraphExec_t executable_ = nullptr;
  cudaEvent_t ended_ = nullptr;
};

}  // namespace

std::unique_ptr<Graph> CudaStream::make_graph() {
  return std::make_unique<CudaGraph>(*this);
}

}  // namespace tweedie
