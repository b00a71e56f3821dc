#include "diffusion/point_set.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/runtime/error.h"

namespace tweedie {

PointSet::PointSet(std::vector<double> points, std::int64_t dimension)
    : points_(std::move(points)), dimension_(dimension) {
  require(dimension > 0 && !points_.empty() && points_.size() % static_cast<std::size_t>(dimension) == 0,
          "point set: {} numbers are no points of dimension {}", points_.size(), dimension);
  for (const double value : points_) require(std::isfinite(value), "point set: a coordinate is {}", value);
}

double PointSet::weigh(std::span<const double> z, double alpha, double sigma, std::span<double> weights) const {
  require(static_cast<std::int64_t>(z.size()) == dimension_, "point set: a point of dimension {}, expected {}",
          z.size(), dimension_);
  require(alpha >= 0.0 && sigma > 0.0, "point set: alpha {} and sigma {}, expected at least 0 and above 0", alpha,
          sigma);
  const std::size_t n = static_cast<std::size_t>(count()), d = z.size();
  require(weights.size() == n, "point set: {} weights for {} points", weights.size(), n);
  double largest = -INFINITY;
  for (std::size_t i = 0; i < n; ++i) {
    double squares = 0.0;
    for (std::size_t j = 0; j < d; ++j) {
      const double difference = z[j] - alpha * points_[i * d + j];
      squares += difference * difference;
    }
    weights[i] = -0.5 * squares / (sigma * sigma);
    largest = std::max(largest, weights[i]);
  }
  double total = 0.0;
  for (double& weight : weights) total += weight = std::exp(weight - largest);
  for (double& weight : weights) weight /= total;
  return largest + std::log(total / static_cast<double>(n)) -
         0.5 * static_cast<double>(d) * std::log(2.0 * std::numbers::pi * sigma * sigma);
}

double PointSet::Posterior::trace() const {
  double sum = 0.0;
  for (std::size_t j = 0; j < mean.size(); ++j) sum += covariance[j * mean.size() + j];
  return sum;
}

PointSet::Posterior PointSet::posterior(std::span<const double> z, double alpha, double sigma) const {
  const std::size_t n = static_cast<std::size_t>(count()), d = z.size();
  Posterior answer{.weights = std::vector<double>(n),
                   .mean = std::vector<double>(d, 0.0),
                   .covariance = std::vector<double>(d * d, 0.0)};
  answer.log_density = weigh(z, alpha, sigma, answer.weights);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < d; ++j) answer.mean[j] += answer.weights[i] * points_[i * d + j];
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < d; ++j)
      for (std::size_t k = 0; k < d; ++k)
        answer.covariance[j * d + k] +=
            answer.weights[i] * (points_[i * d + j] - answer.mean[j]) * (points_[i * d + k] - answer.mean[k]);
  return answer;
}

void PointSet::denoise(std::span<const double> z, double alpha, double sigma, std::span<double> mean) const {
  thread_local std::vector<double> scratch;
  scratch.resize(static_cast<std::size_t>(count()));
  weigh(z, alpha, sigma, scratch);
  const std::size_t d = z.size();
  std::fill(mean.begin(), mean.end(), 0.0);
  for (std::size_t i = 0; i < scratch.size(); ++i)
    for (std::size_t j = 0; j < d; ++j) mean[j] += scratch[i] * points_[i * d + j];
}

std::vector<double> score_of(const PointSet::Posterior& posterior, std::span<const double> z, double alpha,
                             double sigma) {
  std::vector<double> score(z.size());
  for (std::size_t j = 0; j < z.size(); ++j) score[j] = (alpha * posterior.mean[j] - z[j]) / (sigma * sigma);
  return score;
}

std::vector<double> proxy_covariance(const PointSet::Posterior& posterior, double alpha, double sigma) {
  std::vector<double> covariance = posterior.covariance;
  const double factor = std::pow(alpha / (sigma * sigma), 2);
  for (double& entry : covariance) entry *= factor;
  return covariance;
}

double variance_fraction(const PointSet& set, std::span<const double> z, double alpha, double sigma) {
  const PointSet::Posterior posterior = set.posterior(z, alpha, sigma);
  const double trace = std::pow(alpha / (sigma * sigma), 2) * posterior.trace();
  double norm = 0.0;
  for (const double value : score_of(posterior, z, alpha, sigma)) norm += value * value;
  return trace / (trace + norm);
}

}  // namespace tweedie
