#include "autograd/ops/convolution.h"

#include "autograd/ops/arithmetic.h"
#include "kernels/reduction/reduction.h"

namespace tweedie {

Tensor conv2d(const Tensor& x, const Tensor& given_weight, const Tensor& given_bias, const Conv2dGeometry& geometry,
              const Tensor& residual) {
  require(x.defined() && given_weight.defined() && x.rank() == 4 && given_weight.rank() == 4,
          "conv2d: x {} and weight {}, expected (N, H, W, I) and (O, kernel_h, kernel_w, I)", x.shape(),
          given_weight.shape());
  const Tensor weight = parameter_beside(x, "conv2d", given_weight), bias = parameter_beside(x, "conv2d", given_bias);
  const Shape shape{
      x.size(0),
      conv2d_output_extent(x.size(1), weight.size(1), geometry.stride, geometry.pad_top, geometry.pad_bottom),
      conv2d_output_extent(x.size(2), weight.size(2), geometry.stride, geometry.pad_left, geometry.pad_right),
      weight.size(0)};
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  conv2d_forward(y.stream(), {.x = x.array(),
                              .weight = weight.array(),
                              .bias = bias.array(),
                              .residual = residual.array(),
                              .y = y.array(),
                              .geometry = geometry});
  return record(
      "conv2d", y, {x, given_weight, given_bias, residual}, [x = x.detach(), weight, geometry](Backward& backward) {
        const Array gradient = backward.grad_output().array();
        const auto weight_place = backward.destination(1);
        const auto bias_place = backward.destination(2);
        // The bias gradient shares the pass over grad_y where both are gathered in the same way.
        const bool together = weight_place.array && bias_place.array && weight_place.write == bias_place.write;
        if (weight_place.array)
          conv2d_filter_gradient(x.stream(), {.x = x.array(),
                                              .grad_y = gradient,
                                              .grad_weight = weight_place.array,
                                              .grad_bias = together ? bias_place.array : Array{},
                                              .geometry = geometry,
                                              .write = weight_place.write});
        if (bias_place.array && !together)
          reduce(x.stream(),
                 {.kind = ReduceKind::sum,
                  .x = {gradient.data, Shape{1, gradient.shape.count_between(0, 3), bias_place.array.count()},
                        gradient.dtype},
                  .y = {bias_place.array.data, Shape{1, bias_place.array.count()}, bias_place.array.dtype},
                  .write = bias_place.write});
        if (const auto place = backward.destination(0); place.array)
          conv2d_data_gradient(x.stream(), {.grad_y = gradient,
                                            .weight = weight.array(),
                                            .grad_x = place.array,
                                            .geometry = geometry,
                                            .write = place.write});
        backward.give(3, backward.grad_output());
      });
}

}  // namespace tweedie
