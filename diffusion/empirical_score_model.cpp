#include "diffusion/empirical_score_model.h"

#include "diffusion/per_sample.h"

namespace tweedie {

Tensor EmpiricalScoreModel::predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels) {
  check_batch("empirical score", z, t);
  require(!(z.requires_grad() && grad_enabled()), "empirical score: not differentiable, but z requires a gradient");
  const auto d = static_cast<std::size_t>(z.shape().count_between(1, z.rank()));
  require(static_cast<std::int64_t>(d) == score_.dimension(),
          "empirical score: z has shape {}, expected {} numbers a sample", z.shape(), score_.dimension());
  require(!labels.defined() || labels.shape() == Shape({z.size(0)}), "empirical score: labels of shape {} for z {}",
          labels.shape(), z.shape());
  const std::vector<float> points = z.to_host();
  std::vector<float> values = points;  // what stays where sigma = 0

  // The rows that have noise, which are all but rarely.
  std::vector<std::size_t> rows;
  std::vector<float> noisy, alpha, sigma;
  std::vector<std::int64_t> noisy_labels;
  const std::vector<std::int64_t> all_labels =
      labels.defined() ? labels.to_host_integers() : std::vector<std::int64_t>();
  for (std::size_t n = 0; n < t.size(); ++n) {
    if (process_.sigma(t[n]) == 0.0) {
      conversion(process_, t[n], View::x0, view);  // throws unless it is the identity
      continue;
    }
    rows.push_back(n);
    noisy.insert(noisy.end(), &points[n * d], &points[n * d] + d);
    alpha.push_back(static_cast<float>(process_.alpha(t[n])));
    sigma.push_back(static_cast<float>(process_.sigma(t[n])));
    if (labels.defined()) noisy_labels.push_back(all_labels[n]);
  }
  if (!rows.empty()) {
    const EmpiricalResult result = score_.evaluate(noisy, alpha, sigma, {.labels = noisy_labels, .excluded = {}});
    for (std::size_t k = 0; k < rows.size(); ++k) {
      // From x0 and the score, each as exact as float32 holds it; neither is divided by a small number here.
      const double level = t[rows[k]], s = process_.sigma(level);
      const bool is_score = view == View::score;
      const Coefficients c = is_score ? Coefficients{} : target_coefficients(process_, level, view);
      for (std::size_t i = 0; i < d; ++i) {
        const double clean = result.x0[k * d + i], score = result.score[k * d + i];
        values[rows[k] * d + i] = static_cast<float>(is_score ? score : c.x * clean - c.e * s * score);
      }
    }
  }
  return Tensor::from_host(std::span<const float>(values), z.shape(), z.device());
}

std::optional<std::vector<double>> EmpiricalScoreModel::denoiser_divergence(const Tensor& z, std::span<const double> t,
                                                                            const Tensor& labels) {
  check_batch("empirical score", z, t);
  std::vector<float> alpha, sigma;
  for (const double level : t) {
    alpha.push_back(static_cast<float>(process_.alpha(level)));
    sigma.push_back(static_cast<float>(process_.sigma(level)));
  }
  const std::vector<std::int64_t> classes = labels.defined() ? labels.to_host_integers() : std::vector<std::int64_t>();
  std::vector<double> divergence = score_.evaluate(z.to_host(), alpha, sigma, {.labels = classes}).trace_cov;
  for (std::size_t n = 0; n < t.size(); ++n) {
    // The engine's trace is (alpha^2/sigma^4) tr Cov(x | z).
    const double a = process_.alpha(t[n]), s = process_.sigma(t[n]);
    divergence[n] *= a > 0.0 ? s * s / a : 0.0;
  }
  return divergence;
}

}  // namespace tweedie
