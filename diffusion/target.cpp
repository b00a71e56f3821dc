#include "diffusion/target.h"

namespace tweedie {

Tensor ConditionalTarget::target(const Draw& draw, const Process&, const Parameterisation&) const {
  return draw.conditional_target;
}

Tensor target_of_clean(const Draw& draw, std::span<const double> clean, const Process& process,
                       const Parameterisation& parameterisation) {
  const std::vector<float> z = draw.z.to_host();
  require(clean.size() == z.size(), "target: {} values of clean images for {} of states", clean.size(), z.size());
  const std::size_t d = z.size() / draw.t_told.size();
  std::vector<double> values(z.size());
  for (std::size_t n = 0; n < draw.t_told.size(); ++n) {
    const double t = draw.t_told[n], alpha = process.alpha(t), sigma = process.sigma(t);
    const Coefficients c = target_coefficients(process, t, parameterisation);
    for (std::size_t j = n * d; j < (n + 1) * d; ++j)
      values[j] = c.x * clean[j] + c.e * ((z[j] - alpha * clean[j]) / sigma);
  }
  return Tensor::from_host(std::span<const double>(values), draw.z.shape(), draw.z.device());
}

}  // namespace tweedie
