#include "nn/network.h"

#include "autograd/ops/arithmetic.h"

namespace tweedie {
namespace {

Precision default_precision = Precision::float32;

}  // namespace

std::string_view name_of(Precision precision) {
  return precision == Precision::bfloat16 ? "bfloat16" : "float32";
}

Precision parse_precision(std::string_view name) {
  for (const Precision precision : {Precision::float32, Precision::bfloat16})
    if (name == name_of(precision)) return precision;
  throw UsageError(fmt::format("precision '{}': expected float32 or bfloat16", name));
}

void set_default_precision(Precision precision) {
  default_precision = precision;
}

Network::Network(Device device) : Module(device), precision_(default_precision) {}

Tensor Network::forward(const Tensor& x, const Tensor& timesteps, const Tensor& labels, ForwardContext& context) {
  if (precision_ == Precision::float32) return evaluate(x, timesteps, labels, context);
  const Tensor y = evaluate(as_dtype(x, DType::bfloat16), timesteps, labels, context);
  if (context.taps != nullptr)
    for (auto& [name, activation] : *context.taps) activation = as_dtype(activation, x.dtype());
  return as_dtype(y, x.dtype());
}

}  // namespace tweedie
