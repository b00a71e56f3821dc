// Tensor-core instructions against plain loops.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

#include "harness.h"

using namespace nvcuda;

template <class T, class C, class LayoutA, class LayoutB, int M, int N, int K>
__global__ void multiply(const T* a, const T* b, const C* c, C* d) {
  wmma::fragment<wmma::matrix_a, M, N, K, T, LayoutA> fa;
  wmma::fragment<wmma::matrix_b, M, N, K, T, LayoutB> fb;
  wmma::fragment<wmma::accumulator, M, N, K, C> fc;
  __shared__ T tile[M * K];
  for (int i = threadIdx.x; i < M * K; i += 32) tile[i] = a[i];
  __syncthreads();
  wmma::load_matrix_sync(fa, tile, std::is_same<LayoutA, wmma::row_major>::value ? K : M);
  wmma::load_matrix_sync(fb, b, std::is_same<LayoutB, wmma::row_major>::value ? N : K);
  wmma::load_matrix_sync(fc, c, N, wmma::mem_row_major);
  wmma::mma_sync(fc, fa, fb, fc);
  for (int i = 0; i < fc.num_elements; ++i) fc.x[i] = C(float(fc.x[i]) * 2.0f);
  wmma::store_matrix_sync(d, fc, N, wmma::mem_row_major);
}
template <class T, class C, class LayoutA, class LayoutB, int M, int N, int K>
void check_wmma() {
  Numbers numbers(3);
  std::vector<T> a(M * K), b(K * N);
  std::vector<C> c(M * N);
  for (auto& x : a) x = T(float(int(numbers.bits() % 9) - 4));
  for (auto& x : b) x = T(float(int(numbers.bits() % 9) - 4));
  for (auto& x : c) x = C(float(int(numbers.bits() % 9) - 4));
  Device<T> da(a), db(b);
  Device<C> dc(c), dd(M * N);
  multiply<T, C, LayoutA, LayoutB, M, N, K><<<1, 32>>>(da, db, dc, dd);
  const auto d = dd.get();
  const bool row_a = std::is_same<LayoutA, wmma::row_major>::value,
             row_b = std::is_same<LayoutB, wmma::row_major>::value;
  for (int m = 0; m < M; ++m)
    for (int n = 0; n < N; ++n) {
      float sum = float(c[m * N + n]);
      for (int k = 0; k < K; ++k)
        sum += float(a[row_a ? m * K + k : k * M + m]) * float(b[row_b ? k * N + n : n * K + k]);
      CHECK(float(d[m * N + n]) == 2 * sum);
    }
}
CASE(wmma_shapes) {
  check_wmma<__half, float, wmma::row_major, wmma::col_major, 16, 16, 16>();
  check_wmma<__half, __half, wmma::col_major, wmma::row_major, 16, 16, 16>();
  check_wmma<__nv_bfloat16, float, wmma::row_major, wmma::row_major, 16, 16, 16>();
  check_wmma<__nv_bfloat16, float, wmma::col_major, wmma::col_major, 32, 8, 16>();
  check_wmma<__half, float, wmma::row_major, wmma::col_major, 8, 32, 16>();
  check_wmma<signed char, int, wmma::row_major, wmma::col_major, 16, 16, 16>();
  check_wmma<double, double, wmma::row_major, wmma::col_major, 8, 8, 4>();
}

__global__ void fragments(const __nv_bfloat16* a, const __nv_bfloat16* b,
                          float* d) {  // 16x16 (row) times 16x8 (k by n, row)
  __shared__ __align__(16) __nv_bfloat16 sa[16 * 16], sb[16 * 8];
  const int lane = threadIdx.x;
  for (int i = lane; i < 256; i += 32) sa[i] = a[i];
  for (int i = lane; i < 128; i += 32) sb[i] = b[i];
  __syncwarp();
  unsigned fa[4], fb[2];
  const unsigned pa = unsigned(__cvta_generic_to_shared(sa + (lane % 16) * 16 + lane / 16 * 8));
  const unsigned pb = unsigned(__cvta_generic_to_shared(sb + (lane % 16) * 8));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(fa[0]), "=r"(fa[1]), "=r"(fa[2]), "=r"(fa[3])
               : "r"(pa));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];" : "=r"(fb[0]), "=r"(fb[1]) : "r"(pb));
  float c[4] = {1, 1, 1, 1};
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(fa[0]), "r"(fa[1]), "r"(fa[2]), "r"(fa[3]), "r"(fb[0]), "r"(fb[1]));
  for (int i = 0; i < 4; ++i) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = c[i];
}
__global__ void tf32(const float* a, const float* b, float* d) {  // 16x8 (row) times 8x8 (n by k)
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  unsigned fa[4], fb[2];
  for (int i = 0; i < 4; ++i)
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(fa[i]) : "f"(a[(g + i % 2 * 8) * 8 + t + i / 2 * 4]));
  for (int i = 0; i < 2; ++i) asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(fb[i]) : "f"(b[g * 8 + t + i * 4]));
  float c[4] = {0, 0, 0, 0};
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(fa[0]), "r"(fa[1]), "r"(fa[2]), "r"(fa[3]), "r"(fb[0]), "r"(fb[1]));
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + t * 2 + i % 2] = c[i];
}
CASE(mma_and_ldmatrix) {
  Numbers numbers(4);
  std::vector<__nv_bfloat16> a(256), b(128);
  for (auto& x : a) x = __nv_bfloat16(float(int(numbers.bits() % 17) - 8));
  for (auto& x : b) x = __nv_bfloat16(float(int(numbers.bits() % 17) - 8));
  Device<__nv_bfloat16> da(a), db(b);
  Device<float> dd(128);
  fragments<<<1, 32>>>(da, db, dd);
  auto d = dd.get();
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n) {
      float sum = 1;
      for (int k = 0; k < 16; ++k) sum += float(a[m * 16 + k]) * float(b[k * 8 + n]);
      CHECK(d[m * 8 + n] == sum);
    }
  std::vector<float> x(128), y(64);
  for (auto& v : x) v = int(numbers.bits() % 17) - 8;
  for (auto& v : y) v = int(numbers.bits() % 17) - 8;
  Device<float> dx(x), dy(y);
  tf32<<<1, 32>>>(dx, dy, dd);
  d = dd.get();
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n) {
      float sum = 0;
      for (int k = 0; k < 8; ++k) sum += x[m * 8 + k] * y[n * 8 + k];
      CHECK(d[m * 8 + n] == sum);
    }
}

__global__ void late_lanes(const float* a, float* d, int steps) {  // half of the warp comes to the product much later
  const int lane = threadIdx.x;
  float x = 1;
  if (lane < 16)
    for (int k = 0; k < steps; ++k) x = a[k] * x;
  unsigned one = __float_as_uint(x);
  float c[4] = {};
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%4,%4,%4}, {%4,%4}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(one));
  d[lane] = c[0] + c[1] + c[2] + c[3];
}
CASE(lanes_that_come_late) {
  const int steps = 5000;
  Device<float> a(std::vector<float>(steps, 1)), d(32);
  late_lanes<<<1, 32>>>(a, d, steps);
  for (const float x : d.get()) CHECK(x == 32);
}

__global__ void saturating(int* out) {
  wmma::fragment<wmma::matrix_a, 16, 16, 16, signed char, wmma::row_major> a;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, signed char, wmma::col_major> b;
  wmma::fragment<wmma::accumulator, 16, 16, 16, int> c;
  wmma::fill_fragment(a, static_cast<signed char>(100));
  wmma::fill_fragment(b, static_cast<signed char>(100));
  for (int row = 0; row < 2; ++row) {  // once beyond the range, once just within
    wmma::fill_fragment(c, 2147483647 - 160000 + 1 - row);
    wmma::mma_sync(c, a, b, c, true);
    wmma::store_matrix_sync(out + 256 * row, c, 16, wmma::mem_row_major);
  }
}
CASE(saturation) {
  Device<int> out(512);
  saturating<<<1, 32>>>(out);
  for (const int x : out.get()) CHECK(x == 2147483647);
}

// Elements of less than a byte: a word of A and B each holds 32 / bits of them along k.
#define NARROW(name, text, words_a, words_b, words_c, operands, ...)                   \
  __global__ void name(const unsigned* a, const unsigned* b, const int* c, int* out) { \
    const unsigned *x = a + words_a * threadIdx.x, *y = b + words_b * threadIdx.x;     \
    int d[words_c];                                                                    \
    for (int i = 0; i < words_c; ++i) d[i] = c[words_c * threadIdx.x + i];             \
    asm volatile("mma.sync.aligned." text " " operands ";" : __VA_ARGS__);             \
    for (int i = 0; i < words_c; ++i) out[words_c * threadIdx.x + i] = d[i];           \
  }
NARROW(signed_nibbles, "m8n8k32.row.col.s32.s4.s4.s32", 1, 1, 2, "{%0, %1}, {%2}, {%3}, {%0, %1}", "+r"(d[0]),
       "+r"(d[1])
       : "r"(x[0]), "r"(y[0]))
NARROW(mixed_nibbles, "m16n8k64.row.col.satfinite.s32.u4.s4.s32", 4, 2, 4,
       "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3}", "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
       : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]))
NARROW(bits_that_differ, "m16n8k256.row.col.s32.b1.b1.s32.xor.popc", 4, 2, 4,
       "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3}", "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
       : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]))
NARROW(bits_in_both, "m16n8k128.row.col.s32.b1.b1.s32.and.popc", 2, 1, 4,
       "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3}", "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
       : "r"(x[0]), "r"(x[1]), "r"(y[0]))

// product(word of A, word of B) sums over the elements of both.
template <class Kernel, class Product>
void check_narrow(Kernel kernel, int halves, int blocks, bool saturates, Product product) {
  Numbers numbers(5);
  std::vector<unsigned> a(32 * halves * blocks), b(32 * blocks);
  std::vector<int> c(32 * 2 * halves);
  for (auto& x : a) x = numbers.bits();
  for (auto& x : b) x = numbers.bits();
  for (size_t i = 0; i < c.size(); ++i)
    c[i] = saturates && i % 3 ? (i % 2 ? INT32_MAX : INT32_MIN) : int(numbers.bits() % 999);
  Device<unsigned> da(a), db(b);
  Device<int> dc(c), out(c.size());
  kernel<<<1, 32>>>(da, db, dc, out);
  const auto got = out.get();
  for (int lane = 0; lane < 32; ++lane)
    for (int q = 0; q < 2 * halves; ++q) {
      const int row = lane / 4, column = 2 * (lane % 4) + q % 2;  // the row of a half
      long long sum = c[lane * 2 * halves + q];
      for (int block = 0; block < blocks; ++block)
        for (int word = 0; word < 4; ++word)
          sum += product(a[(4 * row + word) * halves * blocks + block * halves + q / 2],
                         b[(4 * column + word) * blocks + block]);
      if (saturates) sum = std::min<long long>(std::max<long long>(sum, INT32_MIN), INT32_MAX);
      CHECK(got[lane * 2 * halves + q] == int(sum));
    }
}
int signed_nibble(unsigned word, int k) {
  return int(word << (28 - 4 * k)) >> 28;
}
CASE(narrow_integers) {
  check_narrow(signed_nibbles, 1, 1, false, [](unsigned a, unsigned b) {
    int sum = 0;
    for (int k = 0; k < 8; ++k) sum += signed_nibble(a, k) * signed_nibble(b, k);
    return sum;
  });
  check_narrow(mixed_nibbles, 2, 2, true, [](unsigned a, unsigned b) {
    int sum = 0;
    for (int k = 0; k < 8; ++k) sum += int(a >> (4 * k) & 15) * signed_nibble(b, k);
    return sum;
  });
  check_narrow(bits_that_differ, 2, 2, false, [](unsigned a, unsigned b) { return __builtin_popcount(a ^ b); });
  check_narrow(bits_in_both, 2, 1, false, [](unsigned a, unsigned b) { return __builtin_popcount(a & b); });
}
