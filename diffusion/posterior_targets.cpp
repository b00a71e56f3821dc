#include "diffusion/posterior_targets.h"

#include <algorithm>

namespace tweedie {
namespace {

/// The class whose images each draw's posterior is over; -1, all of them, for a dropped label.
std::vector<std::int64_t> labels_of(const Draw& draw, bool conditional) {
  if (!conditional || !draw.labels.defined()) return {};
  std::vector<std::int64_t> labels = draw.labels.to_host_integers();
  std::replace(labels.begin(), labels.end(), draw.null_label, std::int64_t{-1});
  return labels;
}

}  // namespace

Tensor ExactTarget::target(const Draw& draw, const Process& process, const Parameterisation& parameterisation) const {
  const std::vector<float> z = draw.z.to_host();
  std::vector<float> alpha, sigma;
  for (const double t : draw.t_told) {
    alpha.push_back(static_cast<float>(process.alpha(t)));
    sigma.push_back(static_cast<float>(process.sigma(t)));
  }
  const std::vector<std::int64_t> labels = labels_of(draw, conditional_);
  const EmpiricalResult exact = score_->evaluate(z, alpha, sigma, {.labels = labels, .excluded = {}});
  const std::size_t d = z.size() / draw.t_told.size();
  std::vector<double> values(z.size());
  for (std::size_t n = 0; n < draw.t_told.size(); ++n) {
    // From x0 and the score, each as exact as float32 holds it: the noise is -sigma times the score.
    const Coefficients c = target_coefficients(process, draw.t_told[n], parameterisation);
    const double noise = -c.e * process.sigma(draw.t_told[n]);
    for (std::size_t j = n * d; j < (n + 1) * d; ++j)
      values[j] = c.x * static_cast<double>(exact.x0[j]) + noise * static_cast<double>(exact.score[j]);
  }
  return Tensor::from_host(std::span<const double>(values), draw.z.shape(), draw.z.device());
}

PosteriorTarget::PosteriorTarget(std::shared_ptr<const PosteriorSampler> sampler, std::int64_t draws, bool conditional)
    : sampler_(std::move(sampler)), draws_(draws), conditional_(conditional) {
  require(sampler_ != nullptr && draws_ >= 1, "posterior target: {} draws, expected one or more", draws_);
}

Tensor PosteriorTarget::target(const Draw& draw, const Process& process,
                               const Parameterisation& parameterisation) const {
  std::vector<double> alpha, sigma;
  for (const double t : draw.t_told) {
    alpha.push_back(process.alpha(t));
    sigma.push_back(process.sigma(t));
  }
  const std::vector<std::int64_t> chosen =
      sampler_->draw(draw.z.to_host(), alpha, sigma, draw.samples.to_host_integers(), draws_, draw.target_key,
                     labels_of(draw, conditional_));
  return target_of_clean(draw, sampler_->means(chosen, draws_), process, parameterisation);
}

}  // namespace tweedie
