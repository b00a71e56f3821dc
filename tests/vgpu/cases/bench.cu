// vgpu_bench: thread-instructions a second on an element-wise kernel and a SIMT GEMM, and mma.sync GFLOP/s. The counts
// of instructions are those of the PTX, taken from a profile of the same program.
#include <chrono>
#include <ctime>

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

// The best of several runs: wall time, and processor time (of all threads), which other work on the machine disturbs
// less.
struct Times {
  double wall = 1e30, processor = 1e30;
};
template <class F>
Times seconds(F f) {
  Times best;
  auto processor = [] { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; };
  for (int k = 0; k < 9; ++k) {
    const auto start = std::chrono::steady_clock::now();
    const double processor_start = processor();
    f();
    CUDA(cudaDeviceSynchronize());
    best.processor = std::min(best.processor, processor() - processor_start);
    best.wall = std::min(best.wall, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}
void print(const char* name, const Times& t, double work, const char* unit) {
  std::printf("%s: %.3f ms, %.3f processor ms, %.2f %s of wall time\n", name, 1e3 * t.wall, 1e3 * t.processor,
              1e-9 * work / t.wall, unit);
}
CASE(elementwise_rate) {
  const int n = 1 << 20;
  Device<float4> x(std::vector<float4>(n, make_float4(1, 2, 3, 4))), y(std::vector<float4>(n, make_float4(1, 2, 3, 4))),
      z(n);
  const Times t = seconds([&] { elementwise<<<512, 256>>>(x, y, z, n); });
  print("elementwise", t, 4.0 * n, "billion elements a second");
}
CASE(gemm_rate) {
  const int n = 512;
  Device<float> a(std::vector<float>(n * n, 1)), b(std::vector<float>(n * n, 2)), c(n * n);
  const Times t = seconds([&] { gemm<<<dim3(n / T, n / T), 256>>>(a, b, c, n); });
  CHECK(c.get()[n + 1] == 2.0f * n);
  print("SIMT gemm", t, 2.0 * n * n * n, "GFLOP/s");
}
CASE(tensor_rate) {
  const int repeats = 200, blocks = 64, threads = 128;
  Device<unsigned> from(std::vector<unsigned>(256, 0x3f803f80));
  Device<float> out(blocks * threads * 4);
  const Times t = seconds([&] { tensor<<<blocks, threads>>>(from, out, repeats); });
  CHECK(out.get()[0] == 4 * 16.0f * repeats);
  print("mma.sync", t, 4096.0 * 4 * repeats * blocks * (threads / 32), "GFLOP/s");
}
