#pragma once

#include <initializer_list>
#include <span>

#include "autograd/tensor.h"

namespace tweedie {

/// The same values in another shape; one extent may be -1 and is then found from the count.
Tensor reshape(const Tensor& x, std::initializer_list<std::int64_t> extents);
Tensor reshape(const Tensor& x, const Shape& shape);
/// result.shape[i] = x.shape[axes[i]].
Tensor permute(const Tensor& x, std::initializer_list<int> axes);
Tensor concatenate(std::span<const Tensor> parts, int axis);
inline Tensor concatenate(std::initializer_list<Tensor> parts, int axis) {
  return concatenate(std::span<const Tensor>(parts.begin(), parts.size()), axis);
}
Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t length);
/// Zeros before and after along one axis.
Tensor pad(const Tensor& x, int axis, std::int64_t before, std::int64_t after);
/// Channels-last pictures: upsampling repeats, pooling averages (kernels/resample).
Tensor upsample_nearest(const Tensor& x, int factor = 2);
Tensor average_pool(const Tensor& x, int factor = 2);
/// (N, C, H, W) to (N, H, W, C) and back.
inline Tensor to_channels_last(const Tensor& x) {
  return permute(x, {0, 2, 3, 1});
}
inline Tensor to_channels_first(const Tensor& x) {
  return permute(x, {0, 3, 1, 2});
}

}  // namespace tweedie
