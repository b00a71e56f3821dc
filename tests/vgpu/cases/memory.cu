// Address spaces, atomics, calls, printf and the host's view of memory.
#include <cuda_bf16.h>

#include "harness.h"

__constant__ float coefficients[16];
__device__ int table[5] = {10, 20, 30, 40, 50};
__device__ int* middle = &table[2];
__managed__ int shared_with_host = 3;

__global__ void axpy(int n, float a, const float* x, float* y) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) y[i] = a * x[i] + y[i];
}
CASE(elementwise) {
  for (int n : {1, 31, 33, 1000, 4097}) {
    std::vector<float> x(n), y(n);
    for (int i = 0; i < n; ++i) x[i] = i, y[i] = 2 * i;
    Device<float> dx(x), dy(y);
    axpy<<<7, 96>>>(n, 3, dx, dy);
    const auto got = dy.get();
    for (int i = 0; i < n; ++i) CHECK(got[i] == 5.0f * i);
  }
}

__global__ void reverse(const float4* in, float4* out, int n) {
  extern __shared__ float4 tile[];
  __shared__ float scale;
  if (threadIdx.x == 0) scale = coefficients[3];
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  tile[threadIdx.x] = i < n ? in[i] : make_float4(0, 0, 0, 0);
  __syncthreads();
  const float4 v = tile[blockDim.x - 1 - threadIdx.x];
  if (i < n) out[i] = make_float4(v.w * scale, v.z * scale, v.y * scale, v.x * scale);
}
CASE(shared_and_constant) {
  const int n = 256;
  std::vector<float4> x(n);
  for (int i = 0; i < n; ++i) x[i] = make_float4(i, i + 0.25f, i + 0.5f, i + 0.75f);
  float c[16] = {0, 0, 0, 2};
  CUDA(cudaMemcpyToSymbol(coefficients, c, sizeof c));
  Device<float4> in(x), out(n);
  reverse<<<n / 64, 64, 64 * sizeof(float4)>>>(in, out, n);
  const auto got = out.get();
  for (int i = 0; i < n; ++i) {
    const float4 e = x[i / 64 * 64 + 63 - i % 64];
    CHECK(got[i].x == 2 * e.w && got[i].y == 2 * e.z && got[i].z == 2 * e.y && got[i].w == 2 * e.x);
  }
}

__global__ void histogram(const int* in, int n, int* counts, float* sum, unsigned long long* wide, int* extremes,
                          double* total, unsigned* ticket) {
  __shared__ int local[8];
  if (threadIdx.x < 8) local[threadIdx.x] = 0;
  __syncthreads();
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    atomicAdd(&local[in[i] & 7], 1);
    atomicAdd(sum, 1.0f);
    atomicAdd(wide, 1ull << 33);
    atomicMin(&extremes[0], in[i]);
    atomicMax(&extremes[1], in[i]);
    atomicAdd(total, 0.5);
    atomicInc(ticket, 99);
    int old = atomicAdd(&extremes[2], 0), seen;
    do {
      seen = old;
      old = atomicCAS(&extremes[2], seen, seen + 2);
    } while (old != seen);
    atomicXor(&extremes[3], 1 << (i & 15));
  }
  __syncthreads();
  if (threadIdx.x < 8) atomicAdd(&counts[threadIdx.x], local[threadIdx.x]);
}
CASE(atomics) {
  const int n = 1000;
  std::vector<int> x(n), expected(8, 0);
  Numbers numbers(5);
  int low = 1 << 30, high = -low;
  for (auto& v : x) {
    v = int(numbers.bits() >> 4) - (1 << 27);
    ++expected[v & 7];
    low = std::min(low, v), high = std::max(high, v);
  }
  Device<int> in(x), counts(std::vector<int>(8, 0)), extremes(std::vector<int>{1 << 30, -(1 << 30), 0, 0});
  Device<float> sum(std::vector<float>(1, 0));
  Device<unsigned long long> wide(std::vector<unsigned long long>(1, 0));
  Device<double> total(std::vector<double>(1, 0));
  Device<unsigned> ticket(std::vector<unsigned>(1, 0));
  histogram<<<8, 128>>>(in, n, counts, sum, wide, extremes, total, ticket);
  CHECK(counts.get() == expected);
  CHECK(sum.get()[0] == n && wide.get()[0] == (1ull << 33) * n && total.get()[0] == 0.5 * n && ticket.get()[0] == 0);
  const auto e = extremes.get();
  CHECK(e[0] == low && e[1] == high && e[2] == 2 * n);
  int bits = 0;
  for (int i = 0; i < n; ++i) bits ^= 1 << (i & 15);
  CHECK(e[3] == bits);
}

__device__ __noinline__ int fibonacci(int n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}
typedef int (*Function)(int);
__device__ __noinline__ int twice(int x) {
  return 2 * x;
}
__device__ __noinline__ int square(int x) {
  return x * x;
}
struct Shape {
  int kind;
  double size;
  int pad[3];
};
__device__ __noinline__ Shape grow(Shape s, int by) {
  s.size *= by;
  s.pad[s.kind & 1] += by;
  return s;
}
__global__ void calls(int* out) {
  const int i = threadIdx.x;
  Function f = i % 3 == 0 ? twice : square;
  int local[9];
  for (int k = 0; k < 9; ++k) local[k] = k * i;
  Shape s{i, 1.5, {1, 2, 3}};
  s = grow(s, i);
  out[i] = fibonacci(i % 12) + f(i) * 1000 + local[(i * 7) % 9] * 1000000 + int(s.size * 2) + s.pad[0] + s.pad[1];
}
CASE(calls_and_local_arrays) {
  Device<int> out(40);
  calls<<<1, 40>>>(out);
  const auto got = out.get();
  const int fib[] = {0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89};
  for (int i = 0; i < 40; ++i) {
    const int f = i % 3 == 0 ? 2 * i : i * i;
    CHECK(got[i] == fib[i % 12] + f * 1000 + ((i * 7) % 9) * i * 1000000 + 3 * i + 3 + i);
  }
}

__global__ void tables(int* out) {
  out[0] = *middle + table[4] + shared_with_host, shared_with_host = 11;
}
CASE(symbols_and_managed) {
  Device<int> out(1);
  tables<<<1, 1>>>(out);
  CHECK(out.get()[0] == 30 + 50 + 3);
  CHECK(shared_with_host == 11);
  int copy[5];
  CUDA(cudaMemcpyFromSymbol(copy, table, sizeof copy));
  CHECK(copy[1] == 20);
  void* address;
  size_t size;
  CUDA(cudaGetSymbolAddress(&address, table));
  CUDA(cudaGetSymbolSize(&size, table));
  CHECK(size == sizeof copy);
  int* managed;
  CUDA(cudaMallocManaged(&managed, 64));
  managed[0] = 5, shared_with_host = 3;
  tables<<<1, 1>>>(managed);
  CUDA(cudaDeviceSynchronize());
  CHECK(managed[0] == 83);
  cudaFree(managed);
}

__global__ void speak() {
  if (threadIdx.x < 2)
    printf("thread %d of %s: %.3f %lld %c %5u|%-4x|\n", threadIdx.x, "warp", 1.5 * threadIdx.x, -(1ll << 40), 'z', 42u,
           255);
}
CASE(print) {
  speak<<<1, 32>>>();
}

CASE(copies) {
  const int width = 100, height = 7;
  float* device;
  size_t pitch;
  CUDA(cudaMallocPitch(&device, &pitch, width * 4, height));
  std::vector<float> in(width * height), out(width * height);
  for (size_t i = 0; i < in.size(); ++i) in[i] = i;
  CUDA(cudaMemcpy2D(device, pitch, in.data(), width * 4, width * 4, height, cudaMemcpyHostToDevice));
  CUDA(cudaMemset2D(reinterpret_cast<char*>(device) + 2 * pitch, pitch, 0, width * 4, 1));
  CUDA(cudaMemcpy2D(out.data(), width * 4, device, pitch, width * 4, height, cudaMemcpyDeviceToHost));
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) CHECK(out[y * width + x] == (y == 2 ? 0 : in[y * width + x]));
  CUDA(cudaFree(device));
  float* pinned;
  CUDA(cudaHostAlloc(&pinned, 4096, cudaHostAllocDefault));
  for (int i = 0; i < 100; ++i) pinned[i] = i;
  Device<float> other(100);
  CUDA(cudaMemcpyAsync(other, pinned, 400, cudaMemcpyDefault, 0));
  CHECK(other.get()[99] == 99);
  axpy<<<1, 64>>>(100, 1, pinned, other);
  CHECK(other.get()[50] == 100);
  CUDA(cudaFreeHost(pinned));
  cudaPointerAttributes attributes;
  CUDA(cudaPointerGetAttributes(&attributes, other.pointer));
  CHECK(attributes.type == cudaMemoryTypeDevice);
  size_t free_bytes, total;
  CUDA(cudaMemGetInfo(&free_bytes, &total));
  CHECK(free_bytes <= total && free_bytes > 0);
  void* huge = nullptr;
  CHECK(cudaMalloc(&huge, size_t(1) << 46) == cudaErrorMemoryAllocation &&
        cudaGetLastError() == cudaErrorMemoryAllocation);
}

__global__ void narrow(const unsigned char* a, const short* b, const __nv_bfloat16* c, float* out, uchar4* packed,
                       long long* wide, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  out[i] = a[i] / 255.0f + b[i] + float(c[i]);
  packed[i] = make_uchar4(a[i], i, 3, b[i] & 255);
  wide[i] = (long long)b[i] * a[i];
}
CASE(narrow_types) {
  const int n = 200;
  std::vector<unsigned char> a(n);
  std::vector<short> b(n);
  std::vector<__nv_bfloat16> c(n);
  for (int i = 0; i < n; ++i) a[i] = i * 7, b[i] = i - 100, c[i] = __nv_bfloat16(i * 0.5f);
  Device<unsigned char> da(a);
  Device<short> db(b);
  Device<__nv_bfloat16> dc(c);
  Device<float> out(n);
  Device<uchar4> packed(n);
  Device<long long> wide(n);
  narrow<<<4, 64>>>(da, db, dc, out, packed, wide, n);
  const auto o = out.get();
  const auto p = packed.get();
  const auto w = wide.get();
  for (int i = 0; i < n; ++i) {
    CHECK(close(o[i], a[i] / 255.0f + b[i] + i * 0.5f, 1e-6));
    CHECK(p[i].x == a[i] && p[i].y == (i & 255) && p[i].z == 3 && p[i].w == (b[i] & 255) &&
          w[i] == (long long)b[i] * a[i]);
  }
}

__global__ void count_arguments(int* out, const char* text) {
  out[0] = printf("%s %d\n", text, 5);
  out[1] = printf("no arguments\n");
  out[2] = printf("%d %f %*d\n", 1, 2.0, 5, 3);
}
CASE(print_counts_and_long_text) {
  std::string text(1500, 'x');
  text += "end";
  Device<char> device(std::vector<char>(text.c_str(), text.c_str() + text.size() + 1));
  Device<int> out(3);
  count_arguments<<<1, 1>>>(out, device);
  const auto got = out.get();
  CHECK(got[0] == 2 && got[1] == 0 && got[2] == 4);
}

__global__ void from_the_stack(int* out, int n) {
  int* a = static_cast<int*>(alloca((n + threadIdx.x) * sizeof(int)));
  for (int k = 0; k < n; ++k) a[k] = k * threadIdx.x;
  int sum = 0;
  for (int k = 0; k < n; ++k) sum += a[k * 5 % n];
  out[threadIdx.x] = sum;
}
__device__ __noinline__ int descend(int n) {
  volatile int frame[20];
  frame[n % 20] = n;
  return n == 0 ? 0 : descend(n - 1) + (frame[n % 20] == n);
}
__global__ void deep(int* out) {
  out[threadIdx.x] = descend(1500 + threadIdx.x % 3);
}
CASE(stacks) {
  Device<int> out(32);
  from_the_stack<<<1, 32>>>(out, 13);
  auto got = out.get();
  for (int i = 0; i < 32; ++i) CHECK(got[i] == 78 * i);
  CUDA(cudaDeviceSetLimit(cudaLimitStackSize, 256 * 1024));
  size_t limit = 0;
  CUDA(cudaDeviceGetLimit(&limit, cudaLimitStackSize));
  CHECK(limit >= 256 * 1024);
  deep<<<1, 32>>>(out);
  got = out.get();
  for (int i = 0; i < 32; ++i) CHECK(got[i] == 1500 + i % 3);
}

struct Padded {
  int small;
  long long large;
};
__global__ void write_padded(Padded* x) {
  x[threadIdx.x].small = threadIdx.x, x[threadIdx.x].large = 5;
}
__global__ void copy_padded(const Padded* x, Padded* y, long long* out) {
  const long long* words = reinterpret_cast<const long long*>(x + threadIdx.x);  // padding comes along
  long long* to = reinterpret_cast<long long*>(y + threadIdx.x);
  to[0] = words[0], to[1] = words[1];
  out[threadIdx.x] = y[threadIdx.x].small + y[threadIdx.x].large;
}
CASE(padding) {
  Device<Padded> x(32), y(32);
  Device<long long> out(32);
  write_padded<<<1, 32>>>(x);
  copy_padded<<<1, 32>>>(x, y, out);
  CHECK(out.get()[31] == 36);
}
