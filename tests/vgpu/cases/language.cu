// What C++ asks of a device: virtual calls, tables of functions, control flow of every shape, packed arithmetic.
#include <cuda_fp16.h>

#include <new>

#include "harness.h"

struct Curve {
  __device__ virtual float at(float x) const = 0;
  __device__ virtual ~Curve() {}
};
struct Line : Curve {
  float slope;
  __device__ explicit Line(float k) : slope(k) {}
  __device__ float at(float x) const override { return slope * x; }
};
struct Parabola : Curve {
  __device__ float at(float x) const override { return x * x; }
};
__global__ void virtual_calls(float* out) {
  const int i = threadIdx.x;
  alignas(16) char place[32];
  const Curve* here = i % 2 ? static_cast<Curve*>(new (place) Line(3)) : new (place) Parabola;
  Curve* heap = i % 3 ? static_cast<Curve*>(new Line(2)) : new Parabola;
  out[i] = here->at(i) + 1000 * heap->at(i);
  delete heap;
}
CASE(virtual_functions) {
  Device<float> out(64);
  virtual_calls<<<1, 64>>>(out);
  const auto got = out.get();
  for (int i = 0; i < 64; ++i)
    CHECK(got[i] == (i % 2 ? 3.0f * i : float(i * i)) + 1000 * (i % 3 ? 2.0f * i : float(i * i)));
}

using Operation = int (*)(int, int);
__device__ int sum_of(int a, int b) {
  return a + b;
}
__device__ int difference_of(int a, int b) {
  return a - b;
}
__device__ Operation operations[] = {sum_of, difference_of};
__device__ int product_of(int a, int b) {
  return a * b;
}
__global__ void take_address(Operation* to) {
  *to = product_of;
}
__global__ void apply(Operation given, int* out) {
  const int i = threadIdx.x;
  out[i] = i % 3 == 2 ? given(i, 7) : operations[i % 3](i, 7);
}
CASE(tables_of_functions) {
  Device<Operation> address(1);
  take_address<<<1, 1>>>(address);
  Device<int> out(32);
  apply<<<1, 32>>>(address.get()[0], out);
  const auto got = out.get();
  for (int i = 0; i < 32; ++i) CHECK(got[i] == (i % 3 == 0 ? i + 7 : i % 3 == 1 ? i - 7 : i * 7));
}

// The same code on both sides: loops that end at different times, switches that fall through, returns from within.
__host__ __device__ inline unsigned wander(unsigned x, unsigned y) {
  unsigned box[8];
  for (unsigned k = 0; k < 8; ++k) box[k] = x * k + y;
  for (unsigned k = 0; k < x % 13; ++k) {
    if (box[k & 7] % 5 == 1) continue;
    for (unsigned j = y % 7; j < 9; ++j) {
      if ((box[j & 7] ^ k) % 11 == 3) break;
      switch ((x + j) % 9) {
        case 0:
          box[k & 7] += 5;
          break;
        case 1:
          box[j & 7] ^= x;
          [[fallthrough]];
        case 2:
          box[j & 7] *= 3;
          break;
        case 3:
          if (y % 17 == 2) return k * 100 + j;
          break;
        case 5:
          box[(j + k) & 7] -= y;
          break;
        case 7:
          y = y / 3 + 1;
          break;
        default:
          box[0] += j % (k + 1);
      }
    }
  }
  unsigned all = 0;
  for (const unsigned value : box) all = all * 31 + value;
  return all;
}
__global__ void wander_all(unsigned* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = wander(i * 2654435761u >> 7, i * 40503u + 77);
}
CASE(control_flow) {
  Device<unsigned> out(512);
  wander_all<<<4, 128>>>(out);
  const auto got = out.get();
  for (unsigned i = 0; i < 512; ++i) CHECK(got[i] == wander(i * 2654435761u >> 7, i * 40503u + 77));
}

__global__ void packed(const unsigned* a, const unsigned* b, unsigned* out, const __half2* x, __half2* y) {
  const int i = threadIdx.x;
  out[2 * i] = __vabsdiffu4(a[i], b[i]);
  out[2 * i + 1] = __vabsdiffs2(a[i], b[i]);
  y[i] = h2exp(__hmul2(x[i], __float2half2_rn(0.25f)));
}
CASE(packed_arithmetic) {
  Numbers numbers(11);
  std::vector<unsigned> a(32), b(32);
  std::vector<__half2> x(32);
  for (int i = 0; i < 32; ++i) {
    a[i] = numbers.bits(), b[i] = numbers.bits();
    x[i] = __floats2half2_rn(numbers.signed_unit(), 4 * numbers.signed_unit());
  }
  Device<unsigned> da(a), db(b), out(64);
  Device<__half2> dx(x), dy(32);
  packed<<<1, 32>>>(da, db, out, dx, dy);
  const auto got = out.get();
  const auto y = dy.get();
  for (int i = 0; i < 32; ++i) {
    unsigned bytes = 0, halves = 0;
    for (int k = 0; k < 4; ++k)
      bytes |= unsigned(std::abs(int(a[i] >> 8 * k & 255) - int(b[i] >> 8 * k & 255))) << 8 * k;
    for (int k = 0; k < 2; ++k)
      halves |= (unsigned(std::abs(int(int16_t(a[i] >> 16 * k)) - int(int16_t(b[i] >> 16 * k)))) & 65535u) << 16 * k;
    CHECK(got[2 * i] == bytes);
    CHECK(got[2 * i + 1] == halves);
    CHECK(close(__low2float(y[i]), std::exp(0.25 * __low2float(x[i])), 2e-3));
    CHECK(close(__high2float(y[i]), std::exp(0.25 * __high2float(x[i])), 2e-3));
  }
}

// Lanes that stand in different functions at one time: each keeps its registers, whatever their widths.
__device__ __noinline__ double waits(volatile int* flag, const double* x) {
  double kept[12];
#pragma unroll
  for (int k = 0; k < 12; ++k) kept[k] = x[k] * 1.5;
  while (*flag == 0) {
  }
  double sum = 0;
#pragma unroll
  for (int k = 0; k < 12; ++k) sum = sum * 0.5 + kept[k];
  return sum;
}
__device__ __noinline__ int works(volatile int* flag, const int* y) {
  int kept[24], sum = 0;
#pragma unroll
  for (int k = 0; k < 24; ++k) kept[k] = y[k] ^ threadIdx.x;
  for (int turn = 0; turn < 5; ++turn)
#pragma unroll
    for (int k = 0; k < 24; ++k) sum = sum * 31 + kept[k] * turn;
  __threadfence();
  *flag = 1;
  return sum;
}
__global__ void two_functions(volatile int* flag, const double* x, const int* y, double* out) {
  out[threadIdx.x] = threadIdx.x % 4 == 1 ? waits(flag, x) : works(flag, y);
}
CASE(functions_keep_their_registers) {
  std::vector<double> x(12);
  std::vector<int> y(24);
  for (int k = 0; k < 12; ++k) x[k] = k + 0.25;
  for (int k = 0; k < 24; ++k) y[k] = k * 77;
  Device<double> dx(x), out(32);
  Device<int> dy(y), flag(std::vector<int>(1, 0));
  two_functions<<<1, 32>>>(flag, dx, dy, out);
  const auto got = out.get();
  for (int i = 0; i < 32; ++i) {
    double expected = 0;
    for (int k = 0; k < 12; ++k) expected = expected * 0.5 + x[k] * 1.5;
    if (i % 4 != 1) {
      unsigned sum = 0;
      for (unsigned turn = 0; turn < 5; ++turn)
        for (int k = 0; k < 24; ++k) sum = sum * 31 + unsigned(y[k] ^ i) * turn;
      expected = static_cast<int>(sum);
    }
    CHECK(got[i] == expected);
  }
}
