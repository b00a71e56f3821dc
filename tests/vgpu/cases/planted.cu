// One planted bug for each name: the virtual GPU must report every one.
#include "harness.h"

__global__ void fill(float* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = 1;
}
__global__ void sum(const float* x, float* out, int n) {
  float s = 0;
  for (int i = 0; i < n; ++i) s += x[i];
  *out = s;
}
CASE(out_of_bounds_by_one) {
  Device<float> x(100);
  fill<<<1, 128>>>(x, 101);
}
CASE(read_before_start) {
  Device<float> x(std::vector<float>(100, 1)), y(1);
  sum<<<1, 1>>>(x.pointer - 1, y, 3);
}
CASE(use_after_free) {
  float* x;
  CUDA(cudaMalloc(&x, 400));
  CUDA(cudaFree(x));
  fill<<<1, 32>>>(x, 32);
}
CASE(null_pointer) {
  fill<<<1, 32>>>(nullptr, 32);
}
CASE(host_pointer) {
  static float host[32];
  fill<<<1, 32>>>(host, 32);
}
CASE(double_free) {
  float* x;
  CUDA(cudaMalloc(&x, 400));
  CUDA(cudaFree(x));
  cudaFree(x);
  cudaGetLastError();
}
CASE(copy_past_end) {
  Device<float> x(100);
  std::vector<float> host(101);
  cudaMemcpy(x, host.data(), 404, cudaMemcpyHostToDevice);
  cudaGetLastError();
}

__global__ void neighbour(const int* in, int* out, bool with_barrier) {
  __shared__ int box[128];
  box[threadIdx.x] = in[threadIdx.x];
  if (with_barrier) __syncthreads();
  out[threadIdx.x] = box[(threadIdx.x + 32) % 128];
}
CASE(missing_barrier) {
  Device<int> in(std::vector<int>(128, 3)), out(128);
  neighbour<<<1, 128>>>(in, out, false);
}
CASE(with_barrier) {  // clean
  Device<int> in(std::vector<int>(128, 3)), out(128);
  neighbour<<<1, 128>>>(in, out, true);
  CHECK(out.get()[100] == 3);
}
__global__ void clash(int* x) {
  x[threadIdx.x] = blockIdx.x;
}
CASE(blocks_write_same) {
  Device<int> x(32);
  clash<<<2, 32>>>(x);
}
__global__ void count_up(int* x) {
  *x = *x + 1;
}
CASE(unordered_increment) {
  Device<int> x(std::vector<int>(1, 0));
  count_up<<<1, 64>>>(x);
}

CASE(read_of_unwritten) {
  Device<float> x(100), y(1);
  CUDA(cudaMemset(x, 0, 396));
  sum<<<1, 1>>>(x, y, 100);
}
__global__ void unwritten_shared(float* out) {
  __shared__ float box[64];
  if (threadIdx.x != 5) box[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = box[63 - threadIdx.x];
}
CASE(read_of_unwritten_shared) {
  Device<float> x(64);
  unwritten_shared<<<1, 64>>>(x);
}

__global__ void split_barrier(int* x) {
  if (threadIdx.x < 16) {
    x[threadIdx.x] = 1;
    __syncthreads();
  }
  x[threadIdx.x] += 2;
}
CASE(barrier_in_divergent_branch) {
  Device<int> x(std::vector<int>(64, 0));
  split_barrier<<<1, 64>>>(x);
}
__global__ void lonely_barrier(int* x) {
  if (threadIdx.x < 32) asm volatile("bar.sync 3, 64;");
  *x = 1;
}
CASE(barrier_never_completes) {
  Device<int> x(1);
  lonely_barrier<<<1, 64>>>(x);
}

__global__ void vector_store(float* x) {
  reinterpret_cast<float4*>(x)[threadIdx.x] = make_float4(1, 2, 3, 4);
}
CASE(misaligned_vector) {
  Device<float> x(200);
  vector_store<<<1, 32>>>(x.pointer + 1);
}
__global__ void needs_shared(float* x) {
  extern __shared__ float box[];
  box[threadIdx.x] = 1;
  x[threadIdx.x] = box[threadIdx.x];
}
CASE(shared_out_of_bounds) {
  Device<float> x(64);
  needs_shared<<<1, 64, 63 * 4>>>(x);
}
CASE(too_much_shared) {
  Device<float> x(64);
  needs_shared<<<1, 64, 50000>>>(x);
  if (cudaGetLastError() != cudaSuccess) std::puts("refused");
}
CASE(too_many_threads) {
  Device<float> x(2000);
  fill<<<1, 1025>>>(x, 2000);
  if (cudaGetLastError() == cudaErrorInvalidConfiguration) std::puts("refused");
}
__global__ void asserts(int n) {
  if (threadIdx.x == 7 && n == 3) __trap();
}
CASE(failed_call) {
  if (cudaSetDevice(99) == cudaErrorInvalidDevice) std::puts("refused");
  (void)cudaGetLastError();
}
CASE(trap) {
  asserts<<<1, 32>>>(3);
}

__global__ void lanes_without_syncwarp(int* out) {
  __shared__ int box[32];
  volatile int* lanes = box;
  lanes[threadIdx.x] = threadIdx.x;
  out[threadIdx.x] = lanes[31 - threadIdx.x];
}
CASE(missing_syncwarp) {
  Device<int> out(32);
  lanes_without_syncwarp<<<1, 32>>>(out);
}
__global__ void relaxed_flag(int* out) {  // the flag is atomic, but nothing releases what was written before it
  __shared__ int box[32], ready;
  if (threadIdx.x == 0) ready = 0;
  __syncthreads();
  if (threadIdx.x < 32) {
    box[threadIdx.x] = 1;
    __syncwarp();
    if (threadIdx.x == 0) atomicExch(&ready, 1);
  } else {
    while (atomicAdd(&ready, 0) == 0) {
    }
    out[threadIdx.x] = box[63 - threadIdx.x];
  }
}
CASE(flag_without_release) {
  Device<int> out(64);
  relaxed_flag<<<1, 64>>>(out);
}
__global__ void fetch(cudaTextureObject_t texture, float* out) {
  out[threadIdx.x] = tex1Dfetch<float>(texture, threadIdx.x);
}
CASE(texture_fetch) {
  Device<float> out(32);
  fetch<<<1, 32>>>(1, out);
}
__global__ void sparse(unsigned* out) {
  unsigned a = threadIdx.x, d[2];
  asm volatile(
      "mma.sp::ordered_metadata.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0, %1}, {%2, %2}, {%2, %2}, {%2, %2}, "
      "%2, 0x0;"
      : "=r"(d[0]), "=r"(d[1])
      : "r"(a));
  out[threadIdx.x] = d[0] + d[1];
}
CASE(sparse_product) {
  Device<unsigned> out(32);
  sparse<<<1, 32>>>(out);
}
