#include "diffusion/frechet.h"

#include <algorithm>

#include "diffusion/feature_rows.h"

namespace tweedie {
namespace {

using Matrix = FeatureMatrix;
using Vector = Eigen::VectorXd;

Matrix square_root(const Matrix& symmetric) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(symmetric);
  const Vector roots = solver.eigenvalues().cwiseMax(0.0).cwiseSqrt();
  return solver.eigenvectors() * roots.asDiagonal() * solver.eigenvectors().transpose();
}

}  // namespace

FeatureMoments feature_moments(std::span<const float> features, std::int64_t dimension) {
  Matrix rows = rows_of(features, dimension);
  require(rows.rows() >= 2, "features: {} vectors have no covariance, at least two are needed", rows.rows());
  const Vector mean = rows.colwise().mean();
  rows.rowwise() -= mean.transpose();
  const Matrix covariance = rows.transpose() * rows / static_cast<double>(rows.rows() - 1);
  return {.count = rows.rows(),
          .dimension = dimension,
          .mean = {mean.data(), mean.data() + mean.size()},
          .covariance = {covariance.data(), covariance.data() + covariance.size()}};
}

double frechet_distance(const FeatureMoments& a, const FeatureMoments& b) {
  require(a.dimension == b.dimension, "frechet distance: features of {} and {} dimensions", a.dimension, b.dimension);
  const auto k = static_cast<Eigen::Index>(a.dimension);
  const Eigen::Map<const Vector> mean_a(a.mean.data(), k), mean_b(b.mean.data(), k);
  const Eigen::Map<const Matrix> covariance_a(a.covariance.data(), k, k), covariance_b(b.covariance.data(), k, k);
  const Matrix root_a = square_root(covariance_a);
  const Matrix product = root_a * covariance_b * root_a;
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(0.5 * (product + product.transpose()),
                                                              Eigen::EigenvaluesOnly);
  const double cross = solver.eigenvalues().cwiseMax(0.0).cwiseSqrt().sum();
  return (mean_a - mean_b).squaredNorm() + covariance_a.trace() + covariance_b.trace() - 2.0 * cross;
}

PrincipalFeatures::PrincipalFeatures(const data::ImageSet& images, std::int64_t components)
    : pixels_(images.dimension()) {
  require(images.count >= 2, "principal features: at least two images are needed");
  constexpr std::int64_t most = 10000;  // enough for leading components, and memory stays small
  std::vector<float> values(static_cast<std::size_t>(std::min(images.count, most) * pixels_));
  for (std::int64_t i = 0; i < std::min(images.count, most); ++i)
    images.copy_float(
        i, std::span(values).subspan(static_cast<std::size_t>(i * pixels_), static_cast<std::size_t>(pixels_)));
  const FeatureMoments moments = feature_moments(values, pixels_);
  const auto d = static_cast<Eigen::Index>(pixels_);
  const Eigen::Map<const Matrix> covariance(moments.covariance.data(), d, d);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(covariance);
  dimension_ = std::min({components, pixels_, moments.count - 1});
  mean_ = moments.mean;
  double kept = 0.0;
  for (std::int64_t k = 0; k < dimension_; ++k) {
    const Eigen::Index column = d - 1 - k;  // eigenvalues ascend
    Vector direction = solver.eigenvectors().col(column);
    Eigen::Index largest = 0;
    direction.cwiseAbs().maxCoeff(&largest);
    if (direction[largest] < 0.0) direction = -direction;  // the sign is free; fix it
    components_.insert(components_.end(), direction.data(), direction.data() + d);
    kept += solver.eigenvalues()[column];
  }
  const double all = solver.eigenvalues().cwiseMax(0.0).sum();
  explained_ = all > 0.0 ? kept / all : 1.0;
}

std::vector<float> PrincipalFeatures::features(std::span<const float> images) const {
  Matrix rows = rows_of(images, pixels_);
  const Eigen::Map<const Vector> mean(mean_.data(), pixels_);
  rows.rowwise() -= mean.transpose();
  const Eigen::Map<const Matrix> components(components_.data(), dimension_, pixels_);
  const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> projected =
      (rows * components.transpose()).cast<float>();
  return {projected.data(), projected.data() + projected.size()};
}

std::string PrincipalFeatures::describe() const {
  return fmt::format("{} principal components ({:.1f} % of the variance)", dimension_, 100.0 * explained_);
}

}  // namespace tweedie
