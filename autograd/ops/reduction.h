#pragma once

#include "autograd/tensor.h"

namespace tweedie {

/// Sum or mean over the axes first <= axis < last, which disappear from the shape.
Tensor sum(const Tensor& x, int first, int last);
Tensor mean(const Tensor& x, int first, int last);
/// Over all axes: a scalar of shape ().
Tensor sum(const Tensor& x);
Tensor mean(const Tensor& x);

}  // namespace tweedie
