#include "autograd/ops/loss.h"

#include "kernels/loss/loss.h"
#include "kernels/runtime/checks.h"

namespace tweedie {

Tensor squared_error(const Tensor& prediction, const Tensor& target, const Tensor& weight) {
  require(prediction.defined() && target.defined() && prediction.shape() == target.shape() && prediction.rank() >= 1,
          "squared_error: prediction {} and target {} must have one shape (N, ...)", prediction.shape(),
          target.shape());
  const Shape rows{prediction.size(0), prediction.shape().count_between(1, prediction.rank())};
  Tensor loss = Tensor::empty({rows[0]}, wide_dtype(prediction.dtype()), prediction.device());
  squared_error_forward(loss.stream(), {.prediction = prediction.array(rows),
                                        .target = target.array(rows),
                                        .weight = weight.array(),
                                        .loss = loss.array()});
  return record(
      "squared_error", loss, {prediction},
      [prediction = prediction.detach(), target = target.detach(), weight = weight.detach(), rows](Backward& backward) {
        const auto place = backward.destination(0);
        squared_error_backward(prediction.stream(), {.prediction = prediction.array(rows),
                                                     .target = target.array(rows),
                                                     .weight = weight.array(),
                                                     .grad_loss = backward.grad_output().array(),
                                                     .grad_prediction = {place.array.data, rows, place.array.dtype},
                                                     .write = place.write});
      });
}

}  // namespace tweedie
