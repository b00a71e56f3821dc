#include "diffusion/per_sample.h"

#include <algorithm>

#include "autograd/ops/arithmetic.h"

namespace tweedie {

Tensor per_sample(std::span<const double> values, const Tensor& like) {
  Shape shape;
  for (int axis = 0; axis < like.rank(); ++axis) shape.append(axis == 0 ? like.size(0) : 1);
  return Tensor::from_host(values, shape, like.device());
}

Tensor combine(std::initializer_list<Term> terms) {
  Tensor total;
  for (const auto& [factors, tensor] : terms) {
    const auto all = [&](double value) { return std::ranges::all_of(factors, [&](double f) { return f == value; }); };
    if (all(0.0)) continue;
    const Tensor scaled = all(1.0) ? tensor : multiply(per_sample(factors, tensor), tensor);
    total = total.defined() ? add(total, scaled) : scaled;
  }
  if (!total.defined()) return Tensor::zeros(terms.begin()->tensor.shape(), terms.begin()->tensor.device());
  return total;
}

void check_batch(std::string_view operation, const Tensor& z, std::span<const double> t) {
  require(z.defined() && z.rank() >= 1 && z.dtype() == float_dtype(z.device()),
          "{}: z must be floating of shape (N, ...), got {}", operation,
          z.defined() ? fmt::format("{} {}", name_of(z.dtype()), z.shape()) : "nothing");
  require(static_cast<std::int64_t>(t.size()) == z.size(0), "{}: {} noise levels for z {}, expected one a sample",
          operation, t.size(), z.shape());
}

}  // namespace tweedie
