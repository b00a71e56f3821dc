#include "tests/autograd/gradcheck.h"

#include <algorithm>
#include <cmath>

#include "kernels/runtime/random.h"

namespace tweedie::testing {
namespace {

constexpr Device reference{DeviceKind::reference, 0};

double contract(const Tensor& output, const Tensor& cotangent) {
  const auto values = output.to_host_double(), weights = cotangent.to_host_double();
  double total = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) total += values[i] * weights[i];
  return total;
}

void set_element(const Tensor& tensor, std::size_t index, double value) {
  static_cast<double*>(tensor.array().data)[index] = value;  // the reference device is host memory
}

}  // namespace

Tensor random_tensor(const Shape& shape, std::uint32_t stream, double scale, double offset) {
  std::vector<double> values(static_cast<std::size_t>(shape.count()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double u1 = uniform({.seed = 20}, stream, static_cast<std::uint32_t>(2 * i));
    const double u2 = uniform({.seed = 20}, stream, static_cast<std::uint32_t>(2 * i + 1));
    values[i] = offset + scale * std::sqrt(-2.0 * std::log(u1)) * std::cos(2.0 * M_PI * u2);
  }
  return Tensor::from_host(std::span<const double>(values), shape, reference);
}

std::string gradcheck(const std::function<Tensor(std::span<const Tensor>)>& function, std::span<const Tensor> inputs,
                      double tolerance) {
  std::vector<Tensor> leaves;
  for (const Tensor& input : inputs) {
    Tensor leaf = input.clone();
    leaf.set_requires_grad(true);
    leaves.push_back(leaf);
  }
  const Tensor output = function(leaves);
  const Tensor cotangent = random_tensor(output.shape(), 9999);
  output.backward(cotangent);

  const NoGrad guard;
  for (std::size_t which = 0; which < leaves.size(); ++which) {
    const Tensor& leaf = leaves[which];
    if (!leaf.grad().defined()) return fmt::format("input {} got no gradient", which);
    const auto analytic = leaf.grad().to_host_double();
    const auto values = leaf.to_host_double();
    std::vector<double> numeric(analytic.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double step = 1e-3 * std::max(1.0, std::abs(values[i]));
      const auto at = [&](double offset) {
        set_element(leaf, i, values[i] + offset);
        return contract(function(leaves), cotangent);
      };
      // Central differences with error of fourth order in the step.
      numeric[i] = (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * step);
      set_element(leaf, i, values[i]);
    }
    double largest = 0.0;
    for (const double value : numeric) largest = std::max(largest, std::abs(value));
    if (!(largest > 0.0) || !std::isfinite(largest))
      return fmt::format("input {}: the numerical gradient is zero everywhere or not finite", which);
    for (std::size_t i = 0; i < analytic.size(); ++i) {
      const double difference = std::abs(analytic[i] - numeric[i]);
      if (!(difference <= tolerance * largest))
        return fmt::format("input {} element {}: backward {} but differences {} (largest entry {})", which, i,
                           analytic[i], numeric[i], largest);
    }
  }
  return "";
}

}  // namespace tweedie::testing
