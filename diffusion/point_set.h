#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tweedie {

/// A few points x_i of equal weight in R^d and, in double, everything about z = alpha x + sigma e given z. (For image
/// sets see EmpiricalScore.)
class PointSet {
 public:
  /// points (N, d). Throws Error where they do not fill N rows or are not finite.
  PointSet(std::vector<double> points, std::int64_t dimension);

  std::int64_t count() const { return static_cast<std::int64_t>(points_.size()) / dimension_; }
  std::int64_t dimension() const { return dimension_; }
  std::span<const double> points() const { return points_; }
  std::span<const double> point(std::int64_t i) const {
    return std::span(points_).subspan(static_cast<std::size_t>(i * dimension_), static_cast<std::size_t>(dimension_));
  }

  struct Posterior {
    double log_density = 0.0;        // log p(z)
    std::vector<double> weights;     // (N): P(x = x_i | z)
    std::vector<double> mean;        // (d): E[x | z]
    std::vector<double> covariance;  // (d, d): Cov(x | z), about the mean
    double trace() const;            // tr Cov(x | z)
  };
  /// z (d); alpha >= 0, sigma > 0. Throws Error otherwise.
  Posterior posterior(std::span<const double> z, double alpha, double sigma) const;
  /// Only the mean, into `mean` (d): for inner loops.
  void denoise(std::span<const double> z, double alpha, double sigma, std::span<double> mean) const;
  /// Only P(x = x_i | z), into `weights` (N); returns log p(z).
  double weigh(std::span<const double> z, double alpha, double sigma, std::span<double> weights) const;

 private:
  std::vector<double> points_;
  std::int64_t dimension_;
};

/// The score (alpha mean - z)/sigma^2 of a posterior.
std::vector<double> score_of(const PointSet::Posterior& posterior, std::span<const double> z, double alpha,
                             double sigma);
/// C = alpha^2/sigma^4 Cov(x | z) (d, d): the covariance, given z, of the proxy score -e/sigma that denoising score
/// matching regresses on (Vastola 2025). It equals I/sigma^2 + Hessian log p(z).
std::vector<double> proxy_covariance(const PointSet::Posterior& posterior, double alpha, double sigma);
/// tr C/(tr C + |score|^2), the quantity of Vastola's figure 1.
double variance_fraction(const PointSet& set, std::span<const double> z, double alpha, double sigma);

}  // namespace tweedie
