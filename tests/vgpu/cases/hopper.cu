// What nvcc makes of the same source for compute_90 only: built for that alone.
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "harness.h"

__device__ unsigned shared_address(const void* place) {
  return static_cast<unsigned>(__cvta_generic_to_shared(place));
}

CASE(device) {
  cudaDeviceProp properties;
  CUDA(cudaGetDeviceProperties(&properties, 0));
  CHECK(properties.major == 9);
}

__global__ void bytes(const float* in, signed char* narrow, unsigned char* wide) {
  narrow[threadIdx.x] = __half2char_rz(__half(in[threadIdx.x]));
  wide[threadIdx.x] = __half2uchar_rz(__half(in[threadIdx.x]));
}
CASE(halves_to_bytes) {
  std::vector<float> x(32);
  for (int i = 0; i < 32; ++i) x[i] = 20.75f * (i - 15);
  Device<float> in(x);
  Device<signed char> narrow(32);
  Device<unsigned char> wide(32);
  bytes<<<1, 32>>>(in, narrow, wide);
  for (int i = 0; i < 32; ++i) {
    const float whole = std::trunc(static_cast<float>(__half(x[i])));
    CHECK(narrow.get()[i] == std::min(std::max(whole, -128.0f), 127.0f));
    CHECK(wide.get()[i] == std::min(std::max(whole, 0.0f), 255.0f));
  }
}

// To 8-bit floats and back, in instructions from compute_89 on and in the header's own code on the host.
__global__ void narrowed(const float* in, uchar4* out, float2* back) {
  const float x = in[threadIdx.x];
  const __nv_fp8_e4m3 small(x);
  const __nv_fp8_e5m2 wide(x);
  const __nv_fp8x2_e4m3 pair(make_float2(x, -x));
  const __nv_fp8_e5m2 from_half(__float2half(x));
  out[threadIdx.x] = make_uchar4(small.__x, wide.__x, pair.__x >> 8, from_half.__x);
  back[threadIdx.x] = make_float2(float(small), float(wide));
}
CASE(floats_of_8_bits) {
  std::vector<float> x = {0,      -0.0f,    1,         448,     464,      465,        57344,    61440,    1e9f,
                          -1e38f, INFINITY, -INFINITY, 0x1p-9f, 0x1p-10f, 0x1.8p-10f, 0x1p-16f, 0x1p-17f, 1e-30f};
  for (int exponent = -18; exponent < 17; ++exponent)
    for (int step = 0; step < 16; ++step) x.push_back(std::ldexp(16.0f + step, exponent - 4) * (step % 3 ? 1 : -1));
  Device<float> in(x);
  Device<uchar4> out(x.size());
  Device<float2> back(x.size());
  narrowed<<<1, x.size()>>>(in, out, back);
  const auto got = out.get();
  const auto wide = back.get();
  for (size_t i = 0; i < x.size(); ++i) {
    const __nv_fp8_e4m3 four(x[i]);
    const __nv_fp8_e5m2 five(x[i]), half(__float2half(x[i]));
    CHECK(got[i].x == four.__x && got[i].y == five.__x && got[i].z == (four.__x ^ 128) && got[i].w == half.__x);
    CHECK(wide[i].x == float(four) && wide[i].y == float(five));
  }
}

__global__ void products_of_bytes(const unsigned* a, const unsigned* b, float* out) {
  const int t = threadIdx.x;
  float d[4] = {1, 2, 3, 4};
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e5m2.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[4 * t]), "r"(a[4 * t + 1]), "r"(a[4 * t + 2]), "r"(a[4 * t + 3]), "r"(b[2 * t]), "r"(b[2 * t + 1]));
  for (int q = 0; q < 4; ++q) out[4 * t + q] = d[q];
}
CASE(matrices_of_8_bit_floats) {
  Numbers numbers(9);
  std::vector<unsigned> a(128), b(64);
  for (auto& word : a)
    for (int k = 0; k < 32; k += 8) word |= unsigned(__nv_fp8_e4m3(float(numbers.bits() % 15) - 7).__x) << k;
  for (auto& word : b)
    for (int k = 0; k < 32; k += 8) word |= unsigned(__nv_fp8_e5m2(0.5f * float(numbers.bits() % 9) - 2).__x) << k;
  Device<unsigned> da(a), db(b);
  Device<float> out(128);
  products_of_bytes<<<1, 32>>>(da, db, out);
  const auto got = out.get();
  for (int lane = 0; lane < 32; ++lane)
    for (int q = 0; q < 4; ++q) {
      float sum = 1 + q;
      for (int word = 0; word < 8; ++word)
        for (int k = 0; k < 32; k += 8) {
          __nv_fp8_e4m3 x;
          __nv_fp8_e5m2 y;
          x.__x = a[(lane / 4 * 4 + word % 4) * 4 + word / 4 * 2 + q / 2] >> k & 255;
          y.__x = b[((2 * (lane % 4) + q % 2) * 4 + word % 4) * 2 + word / 4] >> k & 255;
          sum += float(x) * float(y);
        }
      CHECK(got[4 * lane + q] == sum);
    }
}

// Each group elects one lane of its own.
__global__ void electing(unsigned* out) {
  const unsigned members = threadIdx.x % 3 == 0 ? 0x49249249u : threadIdx.x % 3 == 1 ? 0x92492492u : 0x24924924u;
  unsigned leader, chosen;
  asm volatile("{.reg .pred p; elect.sync %0|p, %2; selp.u32 %1, 1, 0, p;}"
               : "=r"(leader), "=r"(chosen)
               : "r"(members));
  unsigned only;
  asm volatile("{.reg .pred p; elect.sync _|p, %1; selp.u32 %0, 1, 0, p;}" : "=r"(only) : "r"(members));
  out[threadIdx.x] = leader + 100 * chosen + 1000 * only;
}
CASE(elections) {
  Device<unsigned> out(32);
  electing<<<1, 32>>>(out);
  const auto got = out.get();
  for (unsigned i = 0; i < 32; ++i) CHECK(got[i] == i % 3 + (i < 3 ? 1100 : 0));
}

__global__ void pairs_of_shorts(const unsigned* a, const unsigned* b, unsigned* out) {
  const int i = threadIdx.x;
  out[i] = __vimin_s16x2_relu(a[i], b[i]);
  out[32 + i] = __viaddmax_u16x2(a[i], b[i], 77);
  out[64 + i] = __vimax_s32_relu(a[i], b[i]);
}
CASE(dynamic_programming) {
  Numbers numbers(3);
  std::vector<unsigned> a(32), b(32);
  for (int i = 0; i < 32; ++i) a[i] = numbers.bits(), b[i] = numbers.bits();
  Device<unsigned> da(a), db(b), out(96);
  pairs_of_shorts<<<1, 32>>>(da, db, out);
  const auto got = out.get();
  for (int i = 0; i < 32; ++i) {
    unsigned least = 0, most = 0;
    for (int k = 0; k < 32; k += 16) {
      const short x = a[i] >> k, y = b[i] >> k;
      least |= unsigned(std::max<int>(std::min(x, y), 0)) << k;
      most |= std::max<unsigned>((a[i] >> k) + (b[i] >> k) & 65535, k ? 0 : 77) << k;
    }
    CHECK(got[i] == least && got[32 + i] == most);
    CHECK(int(got[64 + i]) == std::max({int(a[i]), int(b[i]), 0}));
  }
}

__global__ void magnitudes(const float* a, const float* b, float* out) {
  float least, most;
  asm("min.xorsign.abs.f32 %0, %1, %2;" : "=f"(least) : "f"(a[threadIdx.x]), "f"(b[threadIdx.x]));
  asm("max.NaN.xorsign.abs.f32 %0, %1, %2;" : "=f"(most) : "f"(a[threadIdx.x]), "f"(b[threadIdx.x]));
  out[2 * threadIdx.x] = least, out[2 * threadIdx.x + 1] = most;
}
CASE(signs_apart) {
  const std::vector<float> a = {1, -1, 3, -3, 0, NAN}, b = {2, 2, -2, -2, -5, 1};
  Device<float> da(a), db(b), out(12);
  magnitudes<<<1, 6>>>(da, db, out);
  const auto got = out.get();
  const float expected[] = {1, 2, -1, -2, -2, -3, 2, 3, -0.0f, -5, 1, NAN};
  for (int i = 0; i < 12; ++i) CHECK(close(got[i], expected[i], 0));
  CHECK(std::signbit(got[8]));
}

__host__ __device__ double element(int seed, int row, int column) {
  return (row * 7 + column * 13 + seed * 5) % 19 - 9;
}
__global__ void double_products(double* out) {
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  double a[8], b[4], c[4] = {1, 2, 3, 4};
  for (int q = 0; q < 8; ++q) a[q] = element(1, g + 8 * (q & 1), t + 4 * (q >> 1));
  for (int q = 0; q < 4; ++q) b[q] = element(2, t + 4 * q, g);
  asm volatile("mma.sync.aligned.m16n8k4.row.col.f64.f64.f64.f64 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
               : "+d"(c[0]), "+d"(c[1]), "+d"(c[2]), "+d"(c[3])
               : "d"(a[0]), "d"(a[1]), "d"(b[0]));
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f64.f64.f64.f64 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+d"(c[0]), "+d"(c[1]), "+d"(c[2]), "+d"(c[3])
      : "d"(a[0]), "d"(a[1]), "d"(a[2]), "d"(a[3]), "d"(b[0]), "d"(b[1]));
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f64.f64.f64.f64 {%0, %1, %2, %3}, {%4, %5, %6, %7, %8, %9, %10, %11}, "
      "{%12, %13, %14, %15}, {%0, %1, %2, %3};"
      : "+d"(c[0]), "+d"(c[1]), "+d"(c[2]), "+d"(c[3])
      : "d"(a[0]), "d"(a[1]), "d"(a[2]), "d"(a[3]), "d"(a[4]), "d"(a[5]), "d"(a[6]), "d"(a[7]), "d"(b[0]), "d"(b[1]),
        "d"(b[2]), "d"(b[3]));
  for (int q = 0; q < 4; ++q) out[(g + q / 2 * 8) * 8 + 2 * t + q % 2] = c[q];
}
CASE(double_matrices) {
  Device<double> out(128);
  double_products<<<1, 32>>>(out);
  const auto got = out.get();
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      double sum = (i < 8 ? 1 : 3) + (j & 1);
      for (const int depth : {4, 8, 16})
        for (int k = 0; k < depth; ++k) sum += element(1, i, k) * element(2, k, j);
      CHECK(got[i * 8 + j] == sum);
    }
}

__global__ void stored(unsigned short* out) {
  __shared__ __align__(16) unsigned short box[64];
  const unsigned pair = 2 * threadIdx.x | (2 * threadIdx.x + 1) << 16;
  asm volatile(
      "stmatrix.sync.aligned.m8n8.x1.trans.shared.b16 [%0], {%1};" ::"r"(shared_address(box + threadIdx.x % 8 * 8)),
      "r"(pair)
      : "memory");
  __syncwarp();
  for (int k = threadIdx.x; k < 64; k += 32) out[k] = box[k];
}
CASE(stored_matrices) {
  Device<unsigned short> out(64);
  stored<<<1, 32>>>(out);
  const auto got = out.get();
  for (int k = 0; k < 64; ++k) CHECK(got[k] == k % 8 * 8 + k / 8);
}

__global__ void vectors(float2* pair, float4* four, float2* old) {
  old[threadIdx.x] = atomicAdd(pair, make_float2(1, 2));
  atomicAdd(four, make_float4(1, 2, 3, 4));
}
CASE(vector_atomics) {
  Device<float2> pair(std::vector<float2>(1, float2{0, 0})), old(32);
  Device<float4> four(std::vector<float4>(1, float4{0, 0, 0, 0}));
  vectors<<<1, 32>>>(pair, four, old);
  CHECK(pair.get()[0].x == 32 && pair.get()[0].y == 64 && four.get()[0].x == 32 && four.get()[0].w == 128);
  float sum = 0;
  for (const float2 value : old.get()) {
    CHECK(value.y == 2 * value.x);
    sum += value.x;
  }
  CHECK(sum == 31 * 16);
}

struct alignas(16) Pair {
  unsigned long long count, sum;
};
__global__ void pairs_at_once(Pair* pair, Pair* old) {
  Pair seen = *pair, expected;
  do {
    expected = seen;
    seen = atomicCAS(pair, expected, Pair{expected.count + 1, expected.sum + threadIdx.x});
  } while (seen.count != expected.count || seen.sum != expected.sum);
  old[threadIdx.x] = atomicExch(pair + 1, Pair{threadIdx.x, 7});
}
CASE(atomics_of_128_bits) {
  Device<Pair> pair(std::vector<Pair>(2, Pair{0, 0})), old(64);
  pairs_at_once<<<1, 64>>>(pair, old);
  const auto got = pair.get();
  CHECK(got[0].count == 64 && got[0].sum == 63 * 32 && got[1].sum == 7);
  int first = 0;
  for (const Pair& value : old.get()) first += value.sum == 0;
  CHECK(first == 1);
}

// Bulk copies: global memory to shared memory, two phases of one barrier, and back.
__global__ void bulk(const int* in, int* out, bool wait) {
  __shared__ __align__(16) int box[128];
  __shared__ unsigned long long gate;
  const unsigned barrier = shared_address(&gate);
  if (threadIdx.x == 0) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barrier));
  __syncthreads();
  for (int phase = 0; phase < 2; ++phase) {
    if (threadIdx.x == 0) {
      asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], 512;" ::"r"(barrier) : "memory");
      for (int half = 0; half < 2; ++half)
        asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], 256, [%2];" ::"r"(
                         shared_address(box + 64 * half)),
                     "l"(in + 128 * phase + 64 * half), "r"(barrier)
                     : "memory");
    }
    for (unsigned ready = !wait; !ready;)
      asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
                   : "=r"(ready)
                   : "r"(barrier), "r"(phase)
                   : "memory");
    out[128 * phase + threadIdx.x] = box[127 - threadIdx.x];
    __syncthreads();
  }
  box[threadIdx.x] = threadIdx.x;
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  if (threadIdx.x == 0) {
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], 512;" ::"l"(out + 256),
                 "r"(shared_address(box))
                 : "memory");
    asm volatile("cp.async.bulk.commit_group;");
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
  }
}
CASE(bulk_copies) {
  std::vector<int> x(256);
  for (int i = 0; i < 256; ++i) x[i] = 3 * i;
  Device<int> in(x), out(384);
  bulk<<<1, 128>>>(in, out, true);
  const auto got = out.get();
  for (int i = 0; i < 256; ++i) CHECK(got[i] == x[i / 128 * 128 + 127 - i % 128]);
  for (int i = 0; i < 128; ++i) CHECK(got[256 + i] == i);
}

__global__ void __cluster_dims__(2, 1, 1) in_clusters(int* out) {
  out[blockIdx.x] = 1;
}
int planted(const std::string& name) {
  Device<int> in(std::vector<int>(256, 1)), out(384);
  if (name == "bulk_copy_without_wait") bulk<<<1, 128>>>(in, out, false);
  if (name == "bulk_copy_past_end") bulk<<<1, 128>>>(in.pointer + 4, out, true);
  if (name == "clusters") in_clusters<<<4, 32>>>(out);
  cudaDeviceSynchronize();
  return 0;
}
