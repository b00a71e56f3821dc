#include "diffusion/linear_covariance.h"

#include <Eigen/Dense>
#include <cmath>

#include "kernels/cholesky/cholesky.h"
#include "kernels/runtime/error.h"

namespace tweedie {
namespace {

using Matrix = Eigen::MatrixXd;

/// Features, one column a place.
Matrix feature_columns(const FeatureMap& features, std::span<const double> z, std::span<const double> t) {
  const auto d = static_cast<std::size_t>(features.dimension());
  require(z.size() == t.size() * d, "linear covariance: {} coordinates for {} places of dimension {}", z.size(),
          t.size(), d);
  Matrix columns(features.count(), static_cast<Eigen::Index>(t.size()));
  for (std::size_t i = 0; i < t.size(); ++i)
    features.evaluate(
        z.subspan(i * d, d), t[i],
        std::span(columns.col(static_cast<Eigen::Index>(i)).data(), static_cast<std::size_t>(columns.rows())));
  return columns;
}

Eigen::VectorXd loss_weights(const Process& process, std::span<const double> t) {
  Eigen::VectorXd weights(static_cast<Eigen::Index>(t.size()));
  for (std::size_t i = 0; i < t.size(); ++i)
    weights[static_cast<Eigen::Index>(i)] = std::pow(process.alpha(t[i]) / process.sigma(t[i]), 2);
  return weights;
}

/// S + ridge I of weighted features.
Eigen::LLT<Matrix> second_moment(const Matrix& phi, const Eigen::VectorXd& weights, double ridge) {
  Matrix moment = phi * (weights / static_cast<double>(phi.cols())).asDiagonal() * phi.transpose();
  moment.diagonal().array() += ridge;
  return moment.llt();
}

/// result[a, b] += factor_a factor_b block for all pairs of queries.
void add_products(const Eigen::VectorXd& factors, const Matrix& block, std::vector<double>& result) {
  const Eigen::Index count = factors.size(), d = block.rows();
  for (Eigen::Index a = 0; a < count; ++a)
    for (Eigen::Index b = 0; b < count; ++b)
      for (Eigen::Index i = 0; i < d; ++i)
        for (Eigen::Index j = 0; j < d; ++j)
          result[static_cast<std::size_t>(((a * count + b) * d + i) * d + j)] += factors[a] * factors[b] * block(i, j);
}

Matrix posterior_covariance(const PointSet& set, const Process& process, std::span<const double> z, double t) {
  const Eigen::Index d = set.dimension();
  return Eigen::Map<const Matrix>(set.posterior(z, process.alpha(t), process.sigma(t)).covariance.data(), d, d);
}

}  // namespace

std::vector<double> redraw_covariance(const FeatureMap& features, const PointSet& set, const Process& process,
                                      const LinearDraws& draws, double ridge, const Queries& queries) {
  const auto d = static_cast<std::size_t>(set.dimension());
  const Matrix phi = feature_columns(features, draws.z, draws.t), at = feature_columns(features, queries.z, queries.t);
  const Eigen::VectorXd weights = loss_weights(process, draws.t);
  const Matrix kernel = second_moment(phi, weights, ridge).solve(at).transpose() * phi;  // (Q, P)
  std::vector<double> result(queries.t.size() * queries.t.size() * d * d, 0.0);
  for (std::size_t i = 0; i < draws.t.size(); ++i) {
    const auto column = static_cast<Eigen::Index>(i);
    add_products(kernel.col(column) * (weights[column] / static_cast<double>(draws.count())),
                 posterior_covariance(set, process, std::span(draws.z).subspan(i * d, d), draws.t[i]), result);
  }
  return result;
}

std::vector<double> large_sample_covariance(const FeatureMap& features, const PointSet& set, const DrawPlan& plan,
                                            double ridge, const Queries& queries, std::int64_t population,
                                            bool misfit) {
  const auto d = static_cast<Eigen::Index>(set.dimension());
  DrawPlan all = plan;
  all.count = population;
  const LinearDraws draws = draw_training(set, all, 0);
  const std::vector<double> means = exact_targets(set, plan.process, draws);
  const Matrix phi = feature_columns(features, draws.z, draws.t), at = feature_columns(features, queries.z, queries.t);
  const Eigen::VectorXd weights = loss_weights(plan.process, draws.t);
  const auto n = static_cast<double>(population), P = static_cast<double>(plan.count);
  const Eigen::LLT<Matrix> moment = second_moment(phi, weights, ridge);
  const Eigen::Map<const Matrix> target(means.data(), d, population);
  const Matrix W = moment.solve(phi * (weights / n).asDiagonal() * target.transpose()).transpose();  // (d, F)
  const Matrix kernel = moment.solve(at).transpose() * phi;                                          // (Q, population)
  const Matrix residual = target - W * phi;
  std::vector<double> result(static_cast<std::size_t>(at.cols() * at.cols() * d * d), 0.0);
  for (Eigen::Index i = 0; i < phi.cols(); ++i) {
    const auto from = static_cast<std::size_t>(i * d);
    Matrix block =
        posterior_covariance(set, plan.process, std::span(draws.z).subspan(from, static_cast<std::size_t>(d)),
                             draws.t[static_cast<std::size_t>(i)]);
    if (misfit) block += residual.col(i) * residual.col(i).transpose();
    add_products(kernel.col(i) * (weights[i] / std::sqrt(n * P)), block, result);
  }
  if (!misfit) return result;
  // The mean of l k(z, z'') m, which is ridge W (S + ridge I)^-1 phi(z).
  const Matrix mean = residual * (weights / n).asDiagonal() * kernel.transpose();  // (d, Q)
  const Eigen::Index count = at.cols();
  for (Eigen::Index a = 0; a < count; ++a)
    for (Eigen::Index b = 0; b < count; ++b)
      for (Eigen::Index i = 0; i < d; ++i)
        for (Eigen::Index j = 0; j < d; ++j)
          result[static_cast<std::size_t>(((a * count + b) * d + i) * d + j)] -= mean(i, a) * mean(j, b) / P;
  return result;
}

}  // namespace tweedie
