#include "diffusion/gaussian_mixture.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "diffusion/per_sample.h"
#include "kernels/runtime/parallel.h"

namespace tweedie {

GaussianMixtureScore::GaussianMixtureScore(std::vector<GaussianComponent> components, const Process& process,
                                           Device device)
    : process_(process), device_(device) {
  require(!components.empty(), "gaussian mixture: no components");
  dimension_ = static_cast<std::int64_t>(components[0].mean.size());
  const auto d = static_cast<std::size_t>(dimension_);
  require(d > 0, "gaussian mixture: dimension 0");
  double total = 0.0;
  for (const GaussianComponent& component : components) {
    require(component.weight > 0.0 && std::isfinite(component.weight),
            "gaussian mixture: weight {}, expected above 0 and finite", component.weight);
    total += component.weight;
  }
  for (GaussianComponent& component : components) {
    const std::vector<double>& s = component.covariance;
    require(component.mean.size() == d, "gaussian mixture: a mean of dimension {} among some of {}",
            component.mean.size(), d);
    require(s.size() == 1 || s.size() == d * d, "gaussian mixture: a covariance of {} numbers, expected 1 or {} x {}",
            s.size(), d, d);
    Component prepared{std::log(component.weight / total), std::move(component.mean), {}, {}};
    if (s.size() == 1) {
      prepared.eigenvalues.assign(d, s[0]);
    } else {
      double largest = 0.0;
      for (double entry : s) largest = std::max(largest, std::abs(entry));
      for (std::size_t i = 0; i < d; ++i)
        for (std::size_t j = 0; j < i; ++j)
          require(std::abs(s[i * d + j] - s[j * d + i]) <= 1e-12 * largest,
                  "gaussian mixture: covariance entries ({}, {}) = {} and ({}, {}) = {} differ", i, j, s[i * d + j], j,
                  i, s[j * d + i]);
      const auto side = static_cast<Eigen::Index>(d);
      const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(
          Eigen::Map<const Eigen::MatrixXd>(s.data(), side, side));
      require(solver.info() == Eigen::Success,
              "gaussian mixture: no eigenvalues of a covariance; are its entries finite?");
      prepared.eigenvalues.assign(solver.eigenvalues().data(), solver.eigenvalues().data() + side);
      // A singular covariance has eigenvalues of 0 but for rounding.
      for (double& value : prepared.eigenvalues)
        if (std::abs(value) <= 1e-14 * static_cast<double>(d) * largest) value = 0.0;
      // Column-major eigenvectors: eigenvector j is the run of d numbers from j d on.
      prepared.eigenvectors.assign(solver.eigenvectors().data(), solver.eigenvectors().data() + side * side);
    }
    for (double value : prepared.eigenvalues)
      require(value >= 0.0 && std::isfinite(value), "gaussian mixture: a covariance has the eigenvalue {}", value);
    components_.push_back(std::move(prepared));
  }
}

GaussianMixtureScore::Answer GaussianMixtureScore::answer(std::span<const double> z, double t) const {
  const auto d = static_cast<std::size_t>(dimension_);
  require(z.size() == d, "gaussian mixture: a point of dimension {}, expected {}", z.size(), d);
  const double a = process_.alpha(t), s = process_.sigma(t);
  const std::size_t count = components_.size();
  std::vector<double> log_weights(count), traces(count);
  std::vector<double> clean(count * d), score(count * d), offset(d), projected(d);

  for (std::size_t k = 0; k < count; ++k) {
    const Component& component = components_[k];
    const bool isotropic = component.eigenvectors.empty();
    for (std::size_t i = 0; i < d; ++i) offset[i] = z[i] - a * component.mean[i];
    for (std::size_t j = 0; j < d; ++j) {
      projected[j] = isotropic ? offset[j] : 0.0;
      if (!isotropic)
        for (std::size_t i = 0; i < d; ++i) projected[j] += component.eigenvectors[j * d + i] * offset[i];
    }
    double* clean_k = &clean[k * d];
    double* score_k = &score[k * d];
    std::copy(component.mean.begin(), component.mean.end(), clean_k);
    log_weights[k] = component.log_weight;
    traces[k] = 0.0;
    for (std::size_t j = 0; j < d; ++j) {
      const double lambda = component.eigenvalues[j];
      const double variance = a * a * lambda + s * s;
      require(variance > 0.0,
              "gaussian mixture: no density at t = {} of process {}: a covariance is singular and sigma = 0", t,
              process_.name());
      const double slope = projected[j] / variance;
      log_weights[k] -= 0.5 * (projected[j] * slope + std::log(2.0 * std::numbers::pi * variance));
      traces[k] += lambda * s * s / variance;
      if (isotropic) {
        clean_k[j] += a * lambda * slope;
        score_k[j] -= slope;
      } else {
        for (std::size_t i = 0; i < d; ++i) {
          clean_k[i] += a * lambda * slope * component.eigenvectors[j * d + i];
          score_k[i] -= slope * component.eigenvectors[j * d + i];
        }
      }
    }
  }

  const double largest = *std::max_element(log_weights.begin(), log_weights.end());
  double total = 0.0;
  for (double value : log_weights) total += std::exp(value - largest);
  Answer answer{
      .log_density = largest + std::log(total), .clean = std::vector<double>(d), .score = std::vector<double>(d)};
  const auto posterior = [&](std::size_t k) { return std::exp(log_weights[k] - answer.log_density); };
  for (std::size_t k = 0; k < count; ++k) {
    for (std::size_t i = 0; i < d; ++i) {
      answer.clean[i] += posterior(k) * clean[k * d + i];
      answer.score[i] += posterior(k) * score[k * d + i];
    }
  }
  for (std::size_t k = 0; k < count; ++k) {
    double spread = traces[k];
    for (std::size_t i = 0; i < d; ++i) spread += std::pow(clean[k * d + i] - answer.clean[i], 2);
    answer.trace_posterior += posterior(k) * spread;
  }
  answer.trace_proxy = std::pow(a / (s * s), 2) * answer.trace_posterior;
  return answer;
}

Tensor GaussianMixtureScore::predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels) {
  check_batch("gaussian mixture", z, t);
  require(!labels.defined(), "gaussian mixture: labels given to a model that knows nothing of classes");
  require(!(z.requires_grad() && grad_enabled()), "gaussian mixture: not differentiable, but z requires a gradient");
  const std::int64_t count = z.size(0), d = z.shape().count_between(1, z.rank());
  require(d == dimension_, "gaussian mixture: z has shape {}, expected {} numbers a sample", z.shape(), dimension_);
  const std::vector<double> points = z.to_host_double();
  std::vector<double> values(points.size());
  parallel_for(count, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t n = first; n < last; ++n) {
      const Answer known = answer(std::span(points).subspan(n * d, d), t[n]);
      const double sigma = process_.sigma(t[n]);
      const bool is_score = view == View::score;
      // The score itself is finite at sigma = 0 where the mixture has a density; the views need no division by sigma.
      const Coefficients c = is_score ? Coefficients{} : target_coefficients(process_, t[n], view);
      for (std::int64_t i = 0; i < d; ++i)
        values[n * d + i] = is_score ? known.score[i] : c.x * known.clean[i] - c.e * sigma * known.score[i];
    }
  });
  return Tensor::from_host(std::span<const double>(values), z.shape(), z.device());
}

std::optional<std::vector<double>> GaussianMixtureScore::denoiser_divergence(const Tensor& z, std::span<const double> t,
                                                                             const Tensor& labels) {
  check_batch("gaussian mixture", z, t);
  require(!labels.defined(), "gaussian mixture: labels given to a model that knows nothing of classes");
  const std::vector<double> points = z.to_host_double();
  const auto d = static_cast<std::size_t>(dimension_);
  std::vector<double> divergence;
  for (std::size_t n = 0; n < t.size(); ++n) {
    const double sigma = process_.sigma(t[n]);
    require(sigma > 0.0, "gaussian mixture: no divergence at sigma = 0");
    const Answer known = answer(std::span(points).subspan(n * d, d), t[n]);
    divergence.push_back(process_.alpha(t[n]) / (sigma * sigma) * known.trace_posterior);
  }
  return divergence;
}

}  // namespace tweedie
