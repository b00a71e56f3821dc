#include "diffusion/memorization.h"

#include <algorithm>
#include <cmath>

namespace tweedie {

NeighbourMeasures neighbour_measures(std::span<const float> images, const EmpiricalScore& reference,
                                     std::span<const std::int64_t> excluded) {
  const auto d = static_cast<std::size_t>(reference.dimension());
  require(images.size() % d == 0, "neighbour measures: {} values are no whole images of {}", images.size(), d);
  const std::size_t n = images.size() / d;
  const std::int64_t k = std::min<std::int64_t>(50, reference.count());
  require(k >= 2, "neighbour measures: at least two reference images are needed, got {}", reference.count());
  NeighbourMeasures measures;
  constexpr std::size_t piece = 256;
  for (std::size_t first = 0; first < n; first += piece) {
    const std::size_t rows = std::min(piece, n - first);
    // At alpha = 1 the engine's distances are those of the images themselves, whatever sigma.
    const std::vector<float> ones(rows, 1.0f);
    EmpiricalOptions options;
    options.neighbours = k;
    options.posterior = false;
    if (!excluded.empty()) options.excluded = excluded.subspan(first, rows);
    const EmpiricalResult result = reference.evaluate(images.subspan(first * d, rows * d), ones, ones, options);
    for (std::size_t row = 0; row < rows; ++row) {
      const auto distances =
          std::span(result.neighbour_distances).subspan(row * static_cast<std::size_t>(k), static_cast<std::size_t>(k));
      double squares = 0.0;
      std::int64_t found = 0;
      for (const double distance : distances)
        if (std::isfinite(distance)) {
          squares += distance * distance;
          ++found;
        }
      require(found >= 2, "neighbour measures: fewer than two reference images are left for image {}", first + row);
      const double average = squares / static_cast<double>(found);
      measures.nearest.push_back(result.nearest[row]);
      measures.distance.push_back(distances[0]);
      // An image that equals all its neighbours is as near as can be.
      measures.m.push_back(average > 0.0 ? distances[0] * distances[0] / average : 0.0);
      measures.nearest_over_second.push_back(distances[1] > 0.0 ? distances[0] / distances[1] : 0.0);
    }
  }
  return measures;
}

MemorisedFractions memorised_fractions(const NeighbourMeasures& measures) {
  const auto n = static_cast<double>(measures.m.size());
  const auto share = [n](const std::vector<double>& values, double below) {
    return static_cast<double>(std::count_if(values.begin(), values.end(), [&](double v) { return v < below; })) / n;
  };
  require(n > 0.0, "memorised fractions: no images");
  return {.m_third = share(measures.m, 1.0 / 3.0),
          .sqrt_m_third = share(measures.m, 1.0 / 9.0),
          .sqrt_m_half = share(measures.m, 1.0 / 4.0),
          .nn_ratio_third = share(measures.nearest_over_second, 1.0 / 3.0)};
}

}  // namespace tweedie
