// vgpu_bench: thread-instructions a second on an element-wise kernel and a SIMT GEMM, and mma.sync GFLOP/s. The counts
// of instructions are those of the PTX, taken from a profile of the same program.
#include <chrono>

#include <cuda_bf16.h>

#include "harness.h"

__global__ void elementwise(const float4* x, const float4* y, float4* z, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    const float4 a = x[i], b = y[i];
    float4 c;
    c.x = a.x * b.x + a.x / (1.0f + b.x * b.x);
    c.y = a.y * b.y + a.y / (1.0f + b.y * b.y);
    c.z = a.z * b.z + a.z / (1.0f + b.z * b.z);
    c.w = a.w * b.w + a.w / (1.0f + b.w * b.w);
    z[i] = c;
  }
}
constexpr int T = 64, D = 16;
__global__ void __launch_bounds__(256) gemm(const float* a, const float* b, float* c, int n) {
  __shared__ float sa[D][T], sb[D][T];
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  float sum[4][4] = {};
  for (int k0 = 0; k0 < n; k0 += D) {
    for (int i = threadIdx.x; i < D * T; i += 256) {
      sa[i % D][i / D] = a[(blockIdx.y * T + i / D) * n + k0 + i % D];
      sb[i / T][i % T] = b[(k0 + i / T) * n + blockIdx.x * T + i % T];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < D; ++k) {
      float x[4], y[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) x[i] = sa[k][ty * 4 + i], y[i] = sb[k][tx * 4 + i];
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sum[i][j] += x[i] * y[j];
    }
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) c[(blockIdx.y * T + ty * 4 + i) * n + blockIdx.x * T + tx * 4 + j] = sum[i][j];
}
__global__ void tensor(const unsigned* from, float* out, int repeats) {
  unsigned a[4], b[8];
  for (int i = 0; i < 4; ++i) a[i] = from[threadIdx.x % 32 + 32 * i];
  for (int i = 0; i < 8; ++i) b[i] = from[threadIdx.x % 32 + 32 * i];
  float c[4][4] = {};
  for (int k = 0; k < repeats; ++k)
#pragma unroll
    for (int j = 0; j < 4; ++j)
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
          : "+f"(c[j][0]), "+f"(c[j][1]), "+f"(c[j][2]), "+f"(c[j][3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[2 * j]), "r"(b[2 * j + 1]));
  for (int j = 0; j < 4; ++j)
    out[(blockIdx.x * blockDim.x + threadIdx.x) * 4 + j] = c[j][0] + c[j][1] + c[j][2] + c[j][3];
}

template <class F>
double seconds(F f) {
  double best = 1e30;
  for (int k = 0; k < 7; ++k) {
    const auto start = std::chrono::steady_clock::now();
    f();
    CUDA(cudaDeviceSynchronize());
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}
CASE(elementwise_rate) {
  const int n = 1 << 20;
  Device<float4> x(std::vector<float4>(n, make_float4(1, 2, 3, 4))), y(std::vector<float4>(n, make_float4(1, 2, 3, 4))),
      z(n);
  const double t = seconds([&] { elementwise<<<512, 256>>>(x, y, z, n); });
  std::printf("elementwise: %.3f ms, %.2f million elements a second\n", 1e3 * t, 4e-6 * n / t);
}
CASE(gemm_rate) {
  const int n = 512;
  Device<float> a(std::vector<float>(n * n, 1)), b(std::vector<float>(n * n, 2)), c(n * n);
  const double t = seconds([&] { gemm<<<dim3(n / T, n / T), 256>>>(a, b, c, n); });
  CHECK(c.get()[n + 1] == 2.0f * n);
  std::printf("SIMT gemm: %.3f ms, %.2f GFLOP/s\n", 1e3 * t, 2e-9 * n * n * n / t);
}
CASE(tensor_rate) {
  const int repeats = 200, blocks = 64, threads = 128;
  Device<unsigned> from(std::vector<unsigned>(256, 0x3f803f80));
  Device<float> out(blocks * threads * 4);
  const double t = seconds([&] { tensor<<<blocks, threads>>>(from, out, repeats); });
  CHECK(out.get()[0] == 4 * 16.0f * repeats);
  std::printf("mma.sync: %.3f ms, %.2f GFLOP/s\n", 1e3 * t, 1e-9 * 4096 * 4 * repeats * blocks * (threads / 32) / t);
}
