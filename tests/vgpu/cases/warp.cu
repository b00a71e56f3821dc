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
  const int other = out[31 - threadIdx.x];
  __syncwarp();
  out[threadIdx.x] += other;
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

// Lanes meet by the intrinsic and its mask, not by the place that calls it.
__global__ void two_branches(int* out) {
  const int i = threadIdx.x;
  int value;
  if (i % 2)
    value = __shfl_sync(kAll, 100 + i, 0) + 1000;
  else
    value = __shfl_sync(kAll, 200 + i, 31) + 2000;
  unsigned votes;
  if (i < 20)
    votes = __ballot_sync(kAll, i & 1);
  else
    votes = __ballot_sync(kAll, i % 3 == 0);
  int sum;
  if (i < 7)
    sum = __reduce_add_sync(kAll, i);
  else
    sum = __reduce_add_sync(kAll, 1);
  unsigned same;
  if (i & 4)
    same = __match_any_sync(kAll, static_cast<long long>(i & 3));
  else
    same = __match_any_sync(kAll, static_cast<long long>(i & 1));
  out[i] = value, out[32 + i] = votes, out[64 + i] = sum, out[96 + i] = same;
}
__device__ __noinline__ int sum_of_warp(int x) {
  for (int k = 16; k; k /= 2) x += __shfl_xor_sync(kAll, x, k);
  return x;
}
__global__ void two_calls(int* out) {
  const int i = threadIdx.x;
  if (i < 11)
    out[i] = 2 * sum_of_warp(i);
  else
    out[i] = 3 * sum_of_warp(1);
}
CASE(one_intrinsic_in_two_branches) {
  Device<int> out(128);
  two_branches<<<1, 32>>>(out);
  auto got = out.get();
  unsigned votes = 0;
  for (int i = 0; i < 32; ++i) votes |= (i < 20 ? i & 1 : i % 3 == 0) ? 1u << i : 0;
  auto key = [](int i) { return i & 4 ? i & 3 : i & 1; };
  for (int i = 0; i < 32; ++i) {
    CHECK(got[i] == (i % 2 ? 200 + 1000 : 131 + 2000));
    CHECK(unsigned(got[32 + i]) == votes && got[64 + i] == 21 + 25);
    unsigned same = 0;
    for (int k = 0; k < 32; ++k) same |= key(k) == key(i) ? 1u << k : 0;
    CHECK(unsigned(got[96 + i]) == same);
  }
  two_calls<<<1, 32>>>(out);
  got = out.get();
  for (int i = 0; i < 32; ++i) CHECK(got[i] == (i < 11 ? 2 : 3) * (55 + 21));
}

// Pairs exchange at one instruction; one of them waits for what another does afterwards.
__device__ __noinline__ int swapped(unsigned members, int x) {
  return __shfl_xor_sync(members, x, 1);
}
__global__ void pairs(volatile int* flag, int* out) {
  const int i = threadIdx.x;
  if (i == 31)
    while (*flag == 0) {
    }
  out[i] = swapped(3u << (i & ~1), i);
  __threadfence();
  if (i == 0) *flag = 1;
}
CASE(groups_go_on_alone) {
  Device<int> flag(std::vector<int>(1, 0)), out(32);
  pairs<<<1, 32>>>(flag, out);
  const auto got = out.get();
  for (int i = 0; i < 32; ++i) CHECK(got[i] == (i ^ 1));
}

__global__ void large_tiles(int* out) {
  __shared__ cg::block_tile_memory<128> memory;
  auto tile = cg::tiled_partition<64>(cg::this_thread_block(memory));
  const int i = threadIdx.x;
  out[i] = cg::reduce(tile, i, cg::plus<int>()) + 10000 * tile.shfl(i, 40);
}
CASE(tiles_of_two_warps) {
  Device<int> out(128);
  large_tiles<<<1, 128>>>(out);
  const auto got = out.get();
  for (int i = 0; i < 128; ++i) CHECK(got[i] == (i < 64 ? 2016 + 400000 : 6112 + 1040000));
}

// What one warp releases another acquires, in shared and in global memory: no race.
__global__ void flags(int* data, int* flag, int* out) {
  __shared__ int box[32], ready;
  const int i = threadIdx.x % 32;
  if (threadIdx.x == 0) ready = 0;
  __syncthreads();
  const unsigned gate = unsigned(__cvta_generic_to_shared(&ready));
  if (threadIdx.x < 32) {
    box[i] = i, data[i] = 2 * i;
    __syncwarp();
    if (i == 0) {
      asm volatile("st.release.cta.shared.u32 [%0], 1;" ::"r"(gate) : "memory");
      __threadfence();
      atomicExch(flag, 1);
    }
  } else {
    int seen = 0;
    while (!seen) asm volatile("ld.acquire.cta.shared.u32 %0, [%1];" : "=r"(seen) : "r"(gate) : "memory");
    for (seen = 0; !seen;) asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory");
    out[i] = box[31 - i] + data[31 - i];
  }
}
__global__ void one_value(int* out) {  // by all lanes: one write, as it were
  __shared__ int box;
  box = blockDim.x;
  __syncthreads();
  out[threadIdx.x] = box;
}
CASE(release_and_acquire) {
  Device<int> data(32), flag(std::vector<int>(1, 0)), out(32);
  flags<<<1, 64>>>(data, flag, out);
  auto got = out.get();
  for (int i = 0; i < 32; ++i) CHECK(got[i] == 3 * (31 - i));
  one_value<<<1, 32>>>(out);
  got = out.get();
  CHECK(got[9] == 32);
}
