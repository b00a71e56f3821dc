#include "diffusion/kernel_distance.h"

#include "diffusion/feature_rows.h"
#include "diffusion/frechet.h"
#include "diffusion/statistics.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

/// Sum of (x . y/k + 1)^3 over all pairs, without those of a row with itself where `same`. In pieces of rows: the
/// matrix of all pairs is never held.
double kernel_sum(const FeatureMatrix& a, const FeatureMatrix& b, bool same) {
  double sum = 0.0;
  constexpr Eigen::Index piece = 256;
  for (Eigen::Index first = 0; first < a.rows(); first += piece) {
    const Eigen::Index rows = std::min(piece, a.rows() - first);
    const FeatureMatrix kernel =
        (((a.middleRows(first, rows) * b.transpose()) / static_cast<double>(a.cols())).array() + 1.0).cube().matrix();
    sum += kernel.sum();
    if (same) sum -= kernel.middleCols(first, rows).diagonal().sum();
  }
  return sum;
}

double within(const FeatureMatrix& a) {
  const auto n = static_cast<double>(a.rows());
  return kernel_sum(a, a, true) / (n * (n - 1.0));
}

double kernel_distance(const FeatureMatrix& a, const FeatureMatrix& b, double within_b) {
  const double pairs = static_cast<double>(a.rows()) * static_cast<double>(b.rows());
  return within(a) + within_b - 2.0 * kernel_sum(a, b, false) / pairs;
}

}  // namespace

double kernel_distance(std::span<const float> a, std::span<const float> b, std::int64_t dimension) {
  const FeatureMatrix rows_a = rows_of(a, dimension), rows_b = rows_of(b, dimension);
  require(rows_a.rows() >= 2 && rows_b.rows() >= 2,
          "kernel distance: sets of {} and {} vectors, expected at least two each", rows_a.rows(), rows_b.rows());
  return kernel_distance(rows_a, rows_b, within(rows_b));
}

std::vector<DistancesBySize> distances_by_size(std::span<const float> a, std::span<const float> b,
                                               std::int64_t dimension, std::span<const std::int64_t> sizes, int repeats,
                                               std::uint64_t seed) {
  const FeatureMatrix rows_b = rows_of(b, dimension);
  const auto k = static_cast<std::size_t>(dimension);
  const auto count = static_cast<std::int64_t>(a.size() / k);
  require(a.size() % k == 0 && rows_b.rows() >= 2 && repeats >= 2,
          "distances by size: {} values, {} vectors to compare with and {} repeats", a.size(), rows_b.rows(), repeats);
  const FeatureMoments moments_b = feature_moments(b, dimension);
  const double within_b = within(rows_b);
  std::vector<DistancesBySize> result;
  for (std::size_t size = 0; size < sizes.size(); ++size) {
    const std::int64_t n = sizes[size];
    require(n >= 2 && n <= count, "distances by size: {} of {} vectors", n, count);
    std::vector<double> frechet, kernel;
    for (int repeat = 0; repeat < repeats; ++repeat) {
      const RandomKey key{seed, Purpose::subset, static_cast<std::uint32_t>(size)};
      std::vector<std::int64_t> order(static_cast<std::size_t>(count));
      for (std::int64_t i = 0; i < count; ++i) order[static_cast<std::size_t>(i)] = i;
      std::vector<float> chosen;
      for (std::int64_t i = 0; i < n; ++i) {  // the first n steps of a Fisher-Yates shuffle
        const std::int64_t j =
            i + uniform_integer(key, static_cast<std::uint32_t>(repeat), count - i, static_cast<std::uint32_t>(i));
        std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(j)]);
        const std::span<const float> row =
            a.subspan(static_cast<std::size_t>(order[static_cast<std::size_t>(i)]) * k, k);
        chosen.insert(chosen.end(), row.begin(), row.end());
      }
      frechet.push_back(frechet_distance(feature_moments(chosen, dimension), moments_b));
      kernel.push_back(kernel_distance(rows_of(chosen, dimension), rows_b, within_b));
    }
    result.push_back({n, mean(frechet), standard_error(frechet), mean(kernel), standard_error(kernel)});
  }
  return result;
}

}  // namespace tweedie
