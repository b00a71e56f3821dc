#include "autograd/ops/activation.h"

#include "kernels/dropout/dropout.h"
#include "kernels/softmax/softmax.h"

namespace tweedie {

Tensor activation(const Tensor& x, ActivationKind kind) {
  require(x.defined(), "activation: undefined operand");
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  activation_forward(y.stream(), {.kind = kind, .x = x.array(), .y = y.array()});
  return record("activation", y, {x}, [kind, x = x.detach()](Backward& backward) {
    const auto place = backward.destination(0);
    activation_backward(x.stream(), {.kind = kind,
                                     .x = x.array(),
                                     .grad_y = backward.grad_output().array(),
                                     .grad_x = place.array,
                                     .write = place.write});
  });
}

Tensor softmax(const Tensor& x) {
  require(x.defined() && x.rank() >= 1, "softmax: expected at least one axis");
  const Shape rows{x.shape().count_between(0, x.rank() - 1), x.size(-1)};
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  softmax_forward(y.stream(), {.x = x.array(rows), .y = y.array(rows)});
  return record("softmax", y, {x}, [rows, y = y.detach()](Backward& backward) {
    const auto place = backward.destination(0);
    softmax_backward(y.stream(), {.y = y.array(rows),
                                  .grad_y = backward.grad_output().array(rows),
                                  .grad_x = {place.array.data, rows, place.array.dtype},
                                  .write = place.write});
  });
}

Tensor dropout(const Tensor& x, double probability, const Tensor& samples, std::uint64_t seed, std::uint32_t step) {
  require(x.defined() && x.rank() >= 1, "dropout: expected a batch axis");
  require(probability >= 0.0 && probability < 1.0, "dropout: probability {} is not in [0, 1)", probability);
  if (probability == 0.0) return x;
  require(samples.defined(), "dropout: the forward context names no sample streams");
  const Shape rows{x.size(0), x.shape().count_between(1, x.rank())};
  const RandomKey key{.seed = seed, .purpose = Purpose::dropout, .step = step};
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  apply_dropout(
      y.stream(),
      Dropout{
          .x = x.array(rows), .samples = samples.array(), .y = y.array(rows), .probability = probability, .key = key});
  return record("dropout", y, {x}, [rows, probability, samples, key](Backward& backward) {
    const auto place = backward.destination(0);
    apply_dropout(backward.grad_output().stream(), Dropout{.x = backward.grad_output().array(rows),
                                                           .samples = samples.array(),
                                                           .y = {place.array.data, rows, place.array.dtype},
                                                           .probability = probability,
                                                           .key = key,
                                                           .write = place.write});
  });
}

}  // namespace tweedie
