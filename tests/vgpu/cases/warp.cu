// Exchange within a warp, barriers, asynchronous copies and progress of single threads.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cuda_pipeline.h>

#include "harness.h"

namespace cg = cooperative_groups;
constexpr unsigned kAll = 0xffffffffu;

__global__ void shuffles(int* out) {
  const int i = threadIdx.x;
  int sum = i;
  for (int k = 16; k; k /= 2) sum += __shfl_xor_sync(kAll, sum, k);
  out[i] = sum;
  out[32 + i] = __shfl_up_sync(kAll, i, 3);
  out[64 + i] = __shfl_down_sync(kAll, i, 5, 8);
  out[96 + i] = __shfl_sync(kAll, i * i, 7, 16);
  out[128 + i] = __ballot_sync(kAll, i % 3 == 0);
  out[160 + i] = __any_sync(kAll, i == 9) + 2 * __all_sync(kAll, i < 31);
  out[192 + i] = __match_any_sync(kAll, i / 5);
  out[224 + i] = __reduce_add_sync(kAll, i) + __reduce_max_sync(kAll, unsigned(i)) * 1000;
  out[256 + i] = 0;
  if (i % 2) out[256 + i] = __reduce_min_sync(0xaaaaaaaau, i) + __popc(__activemask()) * 100;
  const double d = __shfl_xor_sync(kAll, i * 0.5, 1);
  out[288 + i] = int(2 * d);
}
CASE(shuffles_and_votes) {
  Device<int> out(320);
  shuffles<<<1, 32>>>(out);
  const auto o = out.get();
  int thirds = 0;
  for (int i = 0; i < 32; ++i) thirds |= i % 3 == 0 ? 1 << i : 0;
  for (int i = 0; i < 32; ++i) {
    CHECK(o[i] == 496);
    CHECK(o[32 + i] == (i < 3 ? i : i - 3));
    CHECK(o[64 + i] == (i % 8 + 5 < 8 ? i + 5 : i));
    const int from = i / 16 * 16 + 7;
    CHECK(o[96 + i] == from * from);
    CHECK(o[128 + i] == thirds && o[160 + i] == 1);
    unsigned same = 0;
    for (int k = 0; k < 32; ++k) same |= k / 5 == i / 5 ? 1u << k : 0;
    CHECK(unsigned(o[192 + i]) == same);
    CHECK(o[224 + i] == 496 + 31000);
    CHECK(o[256 + i] == (i % 2 ? 1 + 1600 : 0));
    CHECK(o[288 + i] == (i ^ 1));
  }
}

// A lock that one lane holds while the others of its warp spin: it needs progress of single threads.
__global__ void locked(int* lock, int* count) {
  bool done = false;
  while (!done) {
    if (atomicCAS(lock, 0, 1) == 0) {
      *count = *count + 1;
      __threadfence();
      atomicExch(lock, 0);
      done = true;
    }
  }
}
__global__ void producer(volatile int* flag, int* out) {
  if (threadIdx.x == 31) {
    out[31] = 7;
    __threadfence_block();
    *flag = 1;
  } else {
    while (*flag == 0) {
    }
    out[threadIdx.x] = 8;
  }
  __syncwarp();
  out[threadIdx.x] += out[31 - threadIdx.x];
}
CASE(progress) {
  Device<int> lock(std::vector<int>(1, 0)), count(std::vector<int>(1, 0)), flag(std::vector<int>(1, 0)), out(32);
  locked<<<3, 64>>>(lock, count);
  CHECK(count.get()[0] == 192);
  producer<<<1, 32>>>(flag, out);
  CUDA(cudaDeviceSynchronize());
  CHECK(out.get()[5] == 16);
}

__global__ void divergent(int* out, int n) {
  const int i = threadIdx.x;
  int x = 0;
  for (int k = 0; k < i % 7; ++k) {
    if (k == 3 && i % 2) continue;
    x += k;
    if (x > 8) break;
  }
  switch (i % 5) {
    case 0:
      x += 100;
      break;
    case 1:
      x += 200;  // falls through
    case 2:
      x += 300;
      break;
    default:
      x -= 1;
      if (i > n) return;
  }
  out[i] = x + __popc(__ballot_sync(__activemask(), true)) * 0;
}
CASE(divergence) {
  Device<int> out(std::vector<int>(64, -5));
  divergent<<<1, 64>>>(out, 40);
  const auto got = out.get();
  for (int i = 0; i < 64; ++i) {
    int x = 0;
    for (int k = 0; k < i % 7; ++k) {
      if (k == 3 && i % 2) continue;
      x += k;
      if (x > 8) break;
    }
    int expected = x;
    switch (i % 5) {
      case 0:
        expected += 100;
        break;
      case 1:
        expected += 500;
        break;
      case 2:
        expected += 300;
        break;
      default:
        expected = i > 40 ? -5 : x - 1;
    }
    CHECK(got[i] == expected);
  }
}

__global__ void groups(int* out, int* total) {
  auto block = cg::this_thread_block();
  auto grid = cg::this_grid();
  auto tile = cg::tiled_partition<8>(block);
  const int i = grid.thread_rank();
  out[i] = cg::reduce(tile, i, cg::plus<int>());
  grid.sync();
  atomicAdd(total, out[grid.size() - 1 - i]);
  grid.sync();
  out[i] = *total + __syncthreads_count(threadIdx.x < 5) + 10 * __syncthreads_or(threadIdx.x == 3) +
           100 * __syncthreads_and(threadIdx.x < 3);
}
CASE(cooperative_grid) {
  const int blocks = 9, threads = 64, n = blocks * threads;
  Device<int> out(n), total(std::vector<int>(1, 0));
  int *a = out, *b = total;
  void* arguments[] = {&a, &b};
  CUDA(cudaLaunchCooperativeKernel(reinterpret_cast<void*>(groups), dim3(blocks), dim3(threads), arguments, 0, 0));
  int sum = 0;
  for (int t = 0; t < n; t += 8) sum += 8 * (8 * t + 28);
  for (int v : out.get()) CHECK(v == sum + 5 + 10);
}

__global__ void staged(const float* in, float* out, int n) {
  __shared__ float4 stage[2][32];
  float sum = 0;
  const int steps = n / 128;
  auto fetch = [&](int s) {
    __pipeline_memcpy_async(&stage[s & 1][threadIdx.x], reinterpret_cast<const float4*>(in) + s * 32 + threadIdx.x, 16);
    __pipeline_commit();
  };
  fetch(0);
  for (int s = 0; s < steps; ++s) {
    if (s + 1 < steps) fetch(s + 1);
    __pipeline_wait_prior(s + 1 < steps ? 1 : 0);
    __syncthreads();
    const float4 v = stage[s & 1][31 - threadIdx.x];
    sum += v.x + v.y + v.z + v.w;
    __syncthreads();
  }
  out[threadIdx.x] = sum;
}
CASE(async_copy) {
  const int n = 1280;
  std::vector<float> x(n);
  for (int i = 0; i < n; ++i) x[i] = i % 17;
  Device<float> in(x), out(32);
  staged<<<1, 32>>>(in, out, n);
  const auto got = out.get();
  for (int t = 0; t < 32; ++t) {
    float sum = 0;
    for (int s = 0; s < n / 128; ++s)
      for (int k = 0; k < 4; ++k) sum += x[s * 128 + (31 - t) * 4 + k];
    CHECK(got[t] == sum);
  }
}

__global__ void named(int* out) {
  __shared__ int box[64];
  const int i = threadIdx.x;
  if (i < 64) {  // two warps produce and consume with barrier 1; two others with barrier 2
    box[i] = i;
    asm volatile("bar.sync 1, 64;" ::: "memory");
    out[i] = box[63 - i];
  } else {
    asm volatile("bar.arrive 2, 96;" ::: "memory");
  }
  if (i < 32) {
    asm volatile("bar.sync 2, 96;" ::: "memory");
    out[i] += 1000;
  }
  __shared__ unsigned long long gate;
  const unsigned address = unsigned(__cvta_generic_to_shared(&gate));
  if (i == 0) asm volatile("mbarrier.init.shared.b64 [%0], 128;" ::"r"(address));
  __syncthreads();
  if (i == 127) box[0] = 77;
  unsigned long long token;
  asm volatile("mbarrier.arrive.shared.b64 %0, [%1];" : "=l"(token) : "r"(address) : "memory");
  unsigned ready = 0;
  while (!ready)
    asm volatile("{.reg .pred p; mbarrier.test_wait.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
                 : "=r"(ready)
                 : "r"(address), "l"(token)
                 : "memory");
  out[128 + i] = box[0];
}
CASE(named_barriers) {
  Device<int> out(std::vector<int>(256, 0));
  named<<<1, 128>>>(out);
  const auto got = out.get();
  for (int i = 0; i < 64; ++i) CHECK(got[i] == 63 - i + (i < 32 ? 1000 : 0));
  for (int i = 0; i < 128; ++i) CHECK(got[128 + i] == 77);
}
