#include <cuda_bf16.h>

#include "kernels/elementwise/elementwise.h"
#include "kernels/runtime/cuda.h"
#include "kernels/runtime/kernel.cuh"

namespace tweedie {
namespace {

/// Calls function(T{}) with the device's type of `dtype`.
template <class Function>
void with_type(DType dtype, Function function) {
  switch (dtype) {
    case DType::float32:
      return function(float{});
    case DType::float64:
      return function(double{});
    case DType::bfloat16:
      return function(__nv_bfloat16{});
    case DType::int64:
      return function(std::int64_t{});
    case DType::uint8:
      return function(std::uint8_t{});
  }
}

template <class To, class From>
__host__ __device__ To converted(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<From, __nv_bfloat16>) {
    return converted<To>(__bfloat162float(value));
  } else if constexpr (std::is_same_v<To, std::uint8_t>) {
    const double rounded = nearbyint(static_cast<double>(value));
    return rounded > 0.0 ? static_cast<std::uint8_t>(rounded < 255.0 ? rounded : 255.0) : 0;  // NaN becomes 0
  } else if constexpr (std::is_same_v<To, std::int64_t>) {
    return std::is_integral_v<From> ? static_cast<std::int64_t>(value)
                                    : static_cast<std::int64_t>(nearbyint(static_cast<double>(value)));
  } else if constexpr (std::is_same_v<To, __nv_bfloat16>) {
    if constexpr (std::is_same_v<From, float>) return __float2bfloat16_rn(value);
    return __double2bfloat16(static_cast<double>(value));
  } else {
    return static_cast<To>(value);
  }
}

// One value a thread: a warp's accesses are whole sectors for every pair of types.
template <class From, class To>
__global__ void cast_kernel(const From* x, To* y, std::int64_t count) {
  for (std::int64_t i = grid_thread(); i < count; i += grid_threads()) y[i] = converted<To>(x[i]);
}

void cast_cuda(Stream& stream, const Cast& arguments) {
  const std::int64_t count = arguments.x.count();
  if (count == 0) return;
  with_type(arguments.x.dtype, [&](auto from) {
    with_type(arguments.y.dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      launch(stream, {"cast", arguments.x.shape, blocks_for(stream, count), block_threads}, &cast_kernel<From, To>,
             static_cast<const From*>(arguments.x.data), static_cast<To*>(arguments.y.data), count);
    });
  });
}

template <class T>
__global__ void fill_kernel(T* out, T value, std::int64_t count) {
  for (std::int64_t i = grid_thread(); i < count; i += grid_threads()) out[i] = value;
}

void fill_value_cuda(Stream& stream, const FillValue& arguments) {
  const std::int64_t count = arguments.out.count();
  if (count == 0) return;
  with_type(arguments.out.dtype, [&](auto type) {
    using T = decltype(type);
    launch(stream, {"fill_value", arguments.out.shape, blocks_for(stream, count), block_threads}, &fill_kernel<T>,
           static_cast<T*>(arguments.out.data), converted<T>(arguments.value), count);
  });
}

const bool registered =
    cast.implement(DeviceKind::cuda, &cast_cuda) && fill_value.implement(DeviceKind::cuda, &fill_value_cuda);

}  // namespace
}  // namespace tweedie
