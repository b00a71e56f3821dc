#pragma once

#include <cuda_bf16.h>

#include "kernels/runtime/array.h"
#include "kernels/runtime/cuda.h"
#include "kernels/runtime/kernel.cuh"

// Operands that are float32 or bfloat16. Kernels compute in float32: values are widened as they are loaded (exactly)
// and rounded to nearest even as they are stored.
namespace tweedie {

using bfloat16 = __nv_bfloat16;
template <>
constexpr DType dtype_of<bfloat16>() {
  return DType::bfloat16;
}

/// Values of T that one access of 16 bytes moves.
template <class T>
inline constexpr int pack_width = 16 / static_cast<int>(sizeof(T));

/// Values that a thread moves at once: pack_width<T> where all pointers are aligned for it, else one.
template <class T, class... Pointers>
int width_of(Pointers... pointers) {
  return aligned_16(pointers...) ? pack_width<T> : 1;
}

/// `width` neighbouring values as float32.
template <int width>
__device__ Pack<float, width> load_floats(const float* from) {
  if constexpr (width <= 4) {
    return load<width>(from);
  } else {  // beside bfloat16 operands: several accesses of 16 bytes
    Pack<float, width> values;
    for (int i = 0; i < width; i += 4) {
      const auto four = load<4>(from + i);
      for (int k = 0; k < 4; ++k) values[i + k] = four[k];
    }
    return values;
  }
}
template <int width>
__device__ Pack<float, width> load_floats(const bfloat16* from) {
  Pack<float, width> values;
  if constexpr (width == 1) {
    values[0] = __bfloat162float(*from);
  } else {
    const auto words = load<width / 2>(reinterpret_cast<const std::uint32_t*>(from));
    for (int k = 0; k < width / 2; ++k) {
      values[2 * k] = __uint_as_float(words[k] << 16);
      values[2 * k + 1] = __uint_as_float(words[k] & 0xffff0000u);
    }
  }
  return values;
}

/// Two values rounded to bfloat16, the first in the lower half.
__device__ inline std::uint32_t bfloat16_pair(float first, float second) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}

template <int width>
__device__ void store_floats(float* to, const Pack<float, width>& values) {
  if constexpr (width <= 4) {
    store(to, values);
  } else {
    for (int i = 0; i < width; i += 4)
      store(to + i, Pack<float, 4>{{values[i], values[i + 1], values[i + 2], values[i + 3]}});
  }
}
template <int width>
__device__ void store_floats(bfloat16* to, const Pack<float, width>& values) {
  if constexpr (width == 1) {
    *to = __float2bfloat16_rn(values[0]);
  } else {
    Pack<std::uint32_t, width / 2> words;
    for (int k = 0; k < width / 2; ++k) words[k] = bfloat16_pair(values[2 * k], values[2 * k + 1]);
    store(reinterpret_cast<std::uint32_t*>(to), words);
  }
}

/// Calls run(T{}) with the type of `operand`, float or bfloat16. Throws Error for another dtype.
template <class Run>
void with_value_type(const Array& operand, Run run) {
  if (operand.dtype == DType::bfloat16) return run(bfloat16{});
  (void)operand.as<float>();
  run(float{});
}

/// The operand's values, null where it is absent.
template <class T>
T* optional_values(const Array& array) {
  return array ? array.as<T>() : nullptr;
}

}  // namespace tweedie
