#include "kernels/runtime/cuda_stream.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "kernels/runtime/cuda_choices.h"

namespace tweedie {
namespace {

constexpr std::size_t shared_bytes_without_asking = 48 << 10;

class CudaAllocator final : public CachingAllocator {
 public:
  /// cudaMalloc aligns to 256 bytes.
  explicit CudaAllocator(Blocks blocks) : CachingAllocator(256, blocks) {}
  static std::unique_ptr<CachingAllocator> make() {
    const char* wish = std::getenv("TWEEDIE_CUDA_ALLOCATOR");
    const std::string_view choice = wish == nullptr ? "cached" : wish;
    if (choice != "cached" && choice != "exact")
      throw UsageError(fmt::format("TWEEDIE_CUDA_ALLOCATOR is '{}', expected cached or exact", choice));
    return std::make_unique<CudaAllocator>(choice == "exact" ? Blocks::exact : Blocks::cached);
  }

 private:
  void* ask_system(std::size_t size) override {
    void* pointer = nullptr;
    const cudaError_t status = cudaMalloc(&pointer, size);
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();  // taken note of: it must not surface at the next launch
      return nullptr;
    }
    check_cuda(status, "cudaMalloc");
    return pointer;
  }
  void return_to_system(void* pointer, std::size_t) noexcept override {
    (void)cudaFree(pointer);  // waits for the device; an error of earlier work surfaces at the next checked call
  }
  std::string out_of_memory(std::size_t asked, const AllocatorStatistics& statistics) const override {
    std::size_t free = 0, total = 0;
    check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    return fmt::format(
        "out of device memory: asked for {} bytes; {} are in use by this program, {} more held for reuse, {} of {} "
        "free "
        "on the device; lower --batch or --micro-batch",
        asked, statistics.bytes_in_use, statistics.bytes_reserved - statistics.bytes_in_use, free, total);
  }
};

}  // namespace

void check_cuda(cudaError_t status, std::string_view operation, const char* file, int line) {
  require(status == cudaSuccess, "{}: {} ({}) at {}:{}", operation, cudaGetErrorString(status),
          cudaGetErrorName(status), file, line);
}

CudaStream::CudaStream(int index) : index_(index), allocator_(CudaAllocator::make()) {
  check_cuda(cudaSetDevice(index), "cudaSetDevice");
  check_cuda(cudaGetDeviceProperties(&properties_, index), "cudaGetDeviceProperties");
  check_cuda(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreate");
}

void CudaStream::check(cudaError_t status, std::string_view what, const char* file, int line) const {
  if (status == cudaSuccess) return;
  fail("{}: {} ({}) at {}:{}; the last kernel launched was {} {}; CUDA_LAUNCH_BLOCKING=1 finds the one that failed",
       what, cudaGetErrorString(status), cudaGetErrorName(status), file, line,
       last_operation_.empty() ? "none" : last_operation_, last_shape_);
}

void CudaStream::synchronize() {
  require(arena_ == nullptr, "synchronize: values are read back in the middle of a graph; run without --graph");
  check(cudaStreamSynchronize(handle_), "synchronize");
}
void CudaStream::copy(void* to, const void* from, std::size_t bytes) {
  if (bytes > 0) check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, handle_), "copy");
}
void CudaStream::copy_from_host(void* to, const void* from, std::size_t bytes) {
  if (arena_ == nullptr) return staging_.to_device(handle_, to, from, bytes);
  if (bytes > 0)
    check(cudaMemcpyAsync(to, arena_->copy_of(from, bytes), bytes, cudaMemcpyHostToDevice, handle_), "copy from host");
}
void CudaStream::copy_to_host(void* to, const void* from, std::size_t bytes) {
  synchronize();  // so that an error of earlier work is reported as one
  staging_.to_host(handle_, to, from, bytes);
}
void CudaStream::zero(void* to, std::size_t bytes) {
  if (bytes > 0) check(cudaMemsetAsync(to, 0, bytes, handle_), "zero");
}

void CudaStream::launch(const Launch& plan, const void* kernel, void** arguments) {
  last_operation_ = plan.operation;
  last_shape_ = plan.shape;
  cudaError_t status = cudaSuccess;
  if (plan.shared_bytes > shared_bytes_without_asking)
    status =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(plan.shared_bytes));
  if (status == cudaSuccess)
    status = cudaLaunchKernel(kernel, plan.blocks, plan.threads, arguments, plan.shared_bytes, handle_);
  require(
      status == cudaSuccess,
      "{} {}: launch of {} x {} x {} blocks of {} x {} x {} threads with {} bytes of shared memory: {} ({}) at {}:{}",
      plan.operation, plan.shape, plan.blocks.x, plan.blocks.y, plan.blocks.z, plan.threads.x, plan.threads.y,
      plan.threads.z, plan.shared_bytes, cudaGetErrorString(status), cudaGetErrorName(status), plan.file, plan.line);
}

namespace {

/// Why no device `index` answers; empty where it does.
std::string why_not(int index) {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  (void)cudaGetLastError();
  if (status != cudaSuccess)
    return fmt::format("no CUDA device answers: {} ({})", cudaGetErrorString(status), cudaGetErrorName(status));
  if (index >= devices) return fmt::format("this machine has {} CUDA device{}", devices, devices == 1 ? "" : "s");
  return {};
}

Stream& make_cuda_stream(int index) {
  static std::mutex mutex;
  static std::map<int, CudaStream*> streams;  // never destroyed: tensors in static storage may outlive main
  const std::lock_guard lock(mutex);
  CudaStream*& stream = streams[index];
  if (stream == nullptr) {
    const std::string problem = why_not(index);
    require(problem.empty(), "device cuda:{}: {}", index, problem);
    stream = new CudaStream(index);
  }
  // Whoever asks for a stream is about to use it: its device's context is then the current one.
  static thread_local int current = -1;
  if (current != index) check_cuda(cudaSetDevice(index), "cudaSetDevice");
  current = index;
  return *stream;
}

const bool registered = register_backend(DeviceKind::cuda, &make_cuda_stream, &why_not);

}  // namespace

cudaStream_t cuda_handle(Stream& stream) {
  return static_cast<CudaStream&>(stream).handle();
}
const cudaDeviceProp& cuda_properties(Stream& stream) {
  return static_cast<CudaStream&>(stream).properties();
}
void launch_kernel(Stream& stream, const Launch& plan, const void* kernel, void** arguments) {
  static_cast<CudaStream&>(stream).launch(plan, kernel, arguments);
}

unsigned blocks_for(Stream& stream, std::int64_t items) {
  const cudaDeviceProp& properties = cuda_properties(stream);
  const std::int64_t resident = std::int64_t{properties.multiProcessorCount} *
                                std::max(1, properties.maxThreadsPerMultiProcessor / block_threads);
  const std::int64_t most = cuda_choices().most_blocks > 0 ? cuda_choices().most_blocks : resident;
  return static_cast<unsigned>(std::clamp<std::int64_t>((items + block_threads - 1) / block_threads, 1, most));
}

}  // namespace tweedie
