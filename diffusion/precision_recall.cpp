#include "diffusion/precision_recall.h"

#include <algorithm>

#include "diffusion/feature_rows.h"

namespace tweedie {
namespace {

/// Squared distances from row `i` of a to all rows of b, by differences.
std::vector<double> squared_distances(const FeatureMatrix& a, Eigen::Index i, const FeatureMatrix& b) {
  const Eigen::VectorXd distances = (b.rowwise() - a.row(i)).rowwise().squaredNorm();
  return {distances.data(), distances.data() + distances.size()};
}

std::vector<double> squared_radii(const FeatureMatrix& rows, std::int64_t k) {
  std::vector<double> radii;
  for (Eigen::Index i = 0; i < rows.rows(); ++i) {
    std::vector<double> distances = squared_distances(rows, i, rows);
    distances.erase(distances.begin() + i);
    std::nth_element(distances.begin(), distances.begin() + (k - 1), distances.end());
    radii.push_back(distances[static_cast<std::size_t>(k - 1)]);
  }
  return radii;
}

/// 1 for each row of `points` within the radius of some row of `manifold`, else 0.
std::vector<double> on_manifold(const FeatureMatrix& points, const FeatureMatrix& manifold, std::int64_t k) {
  const std::vector<double> radii = squared_radii(manifold, k);
  std::vector<double> inside;
  for (Eigen::Index i = 0; i < points.rows(); ++i) {
    const std::vector<double> distances = squared_distances(points, i, manifold);
    bool found = false;
    for (std::size_t j = 0; j < radii.size() && !found; ++j) found = distances[j] <= radii[j];
    inside.push_back(found ? 1.0 : 0.0);
  }
  return inside;
}

}  // namespace

PrecisionRecall precision_recall(std::span<const float> real, std::span<const float> generated, std::int64_t dimension,
                                 std::int64_t k, const Bootstrap& settings) {
  const FeatureMatrix rows_real = rows_of(real, dimension), rows_generated = rows_of(generated, dimension);
  require(k >= 1 && rows_real.rows() > k && rows_generated.rows() > k,
          "precision and recall: {} real and {} generated vectors, expected more than the k = {} neighbours",
          rows_real.rows(), rows_generated.rows(), k);
  return {.precision = bootstrap_mean(on_manifold(rows_generated, rows_real, k), settings),
          .recall = bootstrap_mean(on_manifold(rows_real, rows_generated, k), settings)};
}

}  // namespace tweedie
