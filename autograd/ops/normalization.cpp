#include "autograd/ops/normalization.h"

#include "autograd/ops/arithmetic.h"
#include "kernels/group_norm/group_norm.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/runtime/checks.h"

namespace tweedie {
namespace {

Array reshaped(const Array& array, const Shape& shape) {
  return array ? Array{array.data, shape, array.dtype} : Array{};
}

/// A gradient that a kernel overwrites, made only where it is wanted.
Tensor wanted(const Backward& backward, int input, const Tensor& like) {
  return backward.needs(input) ? Tensor::empty(like.shape(), like.dtype(), like.device()) : Tensor();
}

void give_if(Backward& backward, int input, const Tensor& gradient) {
  if (gradient.defined()) backward.give(input, gradient);
}

}  // namespace

Tensor group_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const GroupNormOptions& options) {
  require(x.defined() && x.rank() >= 2, "group_norm: x must be (N, ..., C)");
  const std::int64_t samples = x.size(0), channels = x.size(-1);
  const Shape plane{samples, x.shape().count_between(1, x.rank() - 1), channels};
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  const DType wide = wide_dtype(x.dtype());
  Tensor mean = Tensor::empty(Shape{samples, options.groups}, wide, x.device());
  Tensor rstd = Tensor::empty(Shape{samples, options.groups}, wide, x.device());
  const Tensor input_shift = as_dtype(options.input_shift, wide);
  const Tensor scale = as_dtype(options.scale, wide), shift = as_dtype(options.shift, wide);
  group_norm_forward(y.stream(), {.x = x.array(plane),
                                  .input_shift = input_shift.array(),
                                  .gamma = gamma.array(),
                                  .beta = beta.array(),
                                  .scale = scale.array(),
                                  .shift = shift.array(),
                                  .y = y.array(plane),
                                  .mean = mean.array(),
                                  .rstd = rstd.array(),
                                  .groups = options.groups,
                                  .epsilon = options.epsilon,
                                  .silu = options.silu});
  return record("group_norm", y, {x, gamma, beta, input_shift, scale, shift},
                [x = x.detach(), gamma = gamma.detach(), beta = beta.detach(), input_shift = input_shift.detach(),
                 scale = scale.detach(), shift = shift.detach(), mean, rstd, plane, groups = options.groups,
                 silu = options.silu](Backward& backward) {
                  // The kernel always writes grad_x: where nobody wants it, to memory that is dropped.
                  auto place = backward.destination(0);
                  Tensor unused;
                  if (!place.array) {
                    unused = Tensor::empty(x.shape(), x.dtype(), x.device());
                    place.array = unused.array();
                  }
                  const bool affine = backward.needs(1) || backward.needs(2);
                  const Tensor zero = affine && !(backward.needs(1) && backward.needs(2))
                                          ? Tensor::zeros(gamma.shape(), x.device())
                                          : Tensor();
                  const Array grad_gamma = backward.needs(1) ? backward.accumulated(1) : zero.array();
                  const Array grad_beta = backward.needs(2) ? backward.accumulated(2) : zero.array();
                  const Tensor grad_input_shift = wanted(backward, 3, input_shift);
                  const Tensor grad_scale = wanted(backward, 4, scale), grad_shift = wanted(backward, 5, shift);
                  group_norm_backward(x.stream(), {.x = x.array(plane),
                                                   .input_shift = input_shift.array(),
                                                   .gamma = gamma.array(),
                                                   .beta = beta.array(),
                                                   .scale = scale.array(),
                                                   .shift = shift.array(),
                                                   .mean = mean.array(),
                                                   .rstd = rstd.array(),
                                                   .grad_y = backward.grad_output().array(plane),
                                                   .grad_x = reshaped(place.array, plane),
                                                   .grad_input_shift = grad_input_shift.array(),
                                                   .grad_gamma = grad_gamma,
                                                   .grad_beta = grad_beta,
                                                   .grad_scale = grad_scale.array(),
                                                   .grad_shift = grad_shift.array(),
                                                   .groups = groups,
                                                   .silu = silu,
                                                   .write = place.write});
                  give_if(backward, 3, grad_input_shift);
                  give_if(backward, 4, grad_scale);
                  give_if(backward, 5, grad_shift);
                });
}

Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const LayerNormOptions& options) {
  require(x.defined() && (x.rank() == 2 || x.rank() == 3), "layer_norm: x must be (N, T, C) or (N, C)");
  const Shape tokens = x.rank() == 3 ? x.shape() : Shape{x.size(0), 1, x.size(1)};
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  const DType wide = wide_dtype(x.dtype());
  Tensor mean = Tensor::empty(Shape{tokens[0], tokens[1]}, wide, x.device());
  Tensor rstd = Tensor::empty(Shape{tokens[0], tokens[1]}, wide, x.device());
  const Tensor scale = as_dtype(options.scale, wide), shift = as_dtype(options.shift, wide);
  layer_norm_forward(y.stream(), {.x = x.array(tokens),
                                  .gamma = gamma.array(),
                                  .beta = beta.array(),
                                  .scale = scale.array(),
                                  .shift = shift.array(),
                                  .y = y.array(tokens),
                                  .mean = mean.array(),
                                  .rstd = rstd.array(),
                                  .epsilon = options.epsilon});
  return record("layer_norm", y, {x, gamma, beta, scale, shift},
                [x = x.detach(), gamma = gamma.detach(), beta = beta.detach(), scale = scale.detach(),
                 shift = shift.detach(), mean, rstd, tokens](Backward& backward) {
                  const auto place = backward.destination(0);
                  const Array grad_gamma = backward.accumulated(1), grad_beta = backward.accumulated(2);
                  const Tensor grad_scale = wanted(backward, 3, scale), grad_shift = wanted(backward, 4, shift);
                  layer_norm_backward(x.stream(), {.x = x.array(tokens),
                                                   .gamma = gamma.array(),
                                                   .beta = beta.array(),
                                                   .scale = scale.array(),
                                                   .shift = shift.array(),
                                                   .mean = mean.array(),
                                                   .rstd = rstd.array(),
                                                   .grad_y = backward.grad_output().array(tokens),
                                                   .grad_x = reshaped(place.array, tokens),
                                                   .grad_gamma = grad_gamma,
                                                   .grad_beta = grad_beta,
                                                   .grad_scale = grad_scale.array(),
                                                   .grad_shift = grad_shift.array(),
                                                   .write = place.write});
                  give_if(backward, 3, grad_scale);
                  give_if(backward, 4, grad_shift);
                });
}

}  // namespace tweedie
