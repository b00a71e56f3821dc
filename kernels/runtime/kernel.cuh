#pragma once

#include <cstdint>
#include <type_traits>

// What CUDA kernels share: accesses of 16 bytes, loops over a grid, reductions over warps and blocks.
namespace tweedie {

/// `width` neighbouring values, moved by one access.
template <class T, int width>
struct alignas(sizeof(T) * width) Pack {
  T values[width];
  __device__ T& operator[](int i) { return values[i]; }
  __device__ const T& operator[](int i) const { return values[i]; }
};

template <int width, class T>
__device__ Pack<T, width> load(const T* from) {
  return *reinterpret_cast<const Pack<T, width>*>(from);
}
/// Written as one 16-byte value where it is one: the compiler does not always put the parts of a struct together again.
template <class T, int width>
__device__ void store(T* to, const Pack<T, width>& pack) {
  if constexpr (sizeof(pack) == sizeof(uint4))
    *reinterpret_cast<uint4*>(to) = __builtin_bit_cast(uint4, pack);
  else
    *reinterpret_cast<Pack<T, width>*>(to) = pack;
}

/// The same to global memory, and to shared memory, of 16 or 8 bytes: one instruction that the compiler cannot take
/// apart (it does where the values also go elsewhere, and scattered words waste sectors and meet in banks).
template <class T, int width>
__device__ void store_global(T* to, const Pack<T, width>& pack) {
  if constexpr (sizeof(pack) == sizeof(uint4)) {
    const auto words = __builtin_bit_cast(uint4, pack);
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(words.x),
                 "r"(words.y), "r"(words.z), "r"(words.w)
                 : "memory");
  } else if constexpr (sizeof(pack) == sizeof(uint2)) {
    const auto words = __builtin_bit_cast(uint2, pack);
    asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(to)), "r"(words.x), "r"(words.y)
                 : "memory");
  } else {
    store(to, pack);
  }
}
template <class T, int width>
__device__ void store_shared(T* to, const Pack<T, width>& pack) {
  if constexpr (sizeof(pack) == sizeof(uint4)) {
    const auto words = __builtin_bit_cast(uint4, pack);
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
                 "r"(words.x), "r"(words.y), "r"(words.z), "r"(words.w)
                 : "memory");
  } else if constexpr (sizeof(pack) == sizeof(uint2)) {
    const auto words = __builtin_bit_cast(uint2, pack);
    asm volatile("st.shared.v2.b32 [%0], {%1, %2};" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
                 "r"(words.x), "r"(words.y)
                 : "memory");
  } else {
    store(to, pack);
  }
}

template <int width>
using Width = std::integral_constant<int, width>;

__device__ inline std::int64_t grid_thread() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline std::int64_t grid_threads() {
  return static_cast<std::int64_t>(gridDim.x) * blockDim.x;
}

/// Calls body(Width<w>, i) so that the runs [i, i + w) cover [0, count) once between all threads of the grid, which are
/// more than `width`: w is `width`, and 1 for the count % width elements at the end. Neighbouring threads take
/// neighbouring runs.
template <int width, class Body>
__device__ void for_each_pack(std::int64_t count, Body body) {
  const std::int64_t packs = count / width;
  for (std::int64_t i = grid_thread(); i < packs; i += grid_threads()) body(Width<width>{}, i * width);
  if constexpr (width > 1) {
    const std::int64_t last = packs * width + grid_thread();
    if (last < count) body(Width<1>{}, last);
  }
}

inline constexpr unsigned all_lanes = 0xffffffffu;

/// The reduction of one value a lane, in every lane; all 32 lanes call it. `combine` must be commutative.
template <class T, class Combine>
__device__ T warp_reduce(T value, Combine combine) {
  for (int distance = 16; distance > 0; distance /= 2)
    value = combine(value, __shfl_xor_sync(all_lanes, value, distance));
  return value;
}
template <class T>
__device__ T warp_sum(T value) {
  return warp_reduce(value, [](T a, T b) { return a + b; });
}
__device__ inline float warp_max(float value) {
  return warp_reduce(value, [](float a, float b) { return fmaxf(a, b); });
}

/// The reduction of one value a thread, in every thread; all threads of the block call it, `blockDim.x` is a multiple
/// of 32 and the block has one axis. `shared` holds 32 values and may be used again after the call.
template <class T, class Combine>
__device__ T block_reduce(T value, T identity, T* shared, Combine combine) {
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  value = warp_reduce(value, combine);
  if (lane == 0) shared[warp] = value;
  __syncthreads();
  value = warp_reduce(lane < warps ? shared[lane] : identity, combine);
  __syncthreads();
  return value;
}
template <class T>
__device__ T block_sum(T value, T* shared) {
  return block_reduce(value, T{0}, shared, [](T a, T b) { return a + b; });
}

}  // namespace tweedie
