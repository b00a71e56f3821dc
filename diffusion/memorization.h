#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "diffusion/empirical_score.h"
#include "diffusion/statistics.h"

namespace tweedie {

/// How near images lie to a reference set, from one nearest-neighbour pass.
struct NeighbourMeasures {
  std::vector<std::int64_t> nearest;  // (n): index of the nearest reference image
  std::vector<double> distance;       // (n): Euclidean distance to it
  /// (n): |x - x_(1)|^2 over the mean of |x - x_(i)|^2 for i <= k, k = min(50, reference size): the calibrated squared
  /// ratio of Song et al. (arXiv 2510.01378, section 4.3).
  std::vector<double> m;
  std::vector<double> nearest_over_second;  // (n): |x - x_(1)| / |x - x_(2)| (Yoon et al. 2023; Gu et al. 2023)
  /// (n): cosine of x - c and x_(1) - c, c the reference set's mean image: mean-removed correlation with the nearest
  /// (Kadkhodaie et al., arXiv 2310.02557). Without c all pictures of one kind correlate.
  std::vector<double> correlation;
};
/// images (n, d). `excluded`, where given, is one reference image to leave out for each (its own copy).
NeighbourMeasures neighbour_measures(std::span<const float> images, const EmpiricalScore& reference,
                                     std::span<const std::int64_t> excluded = {});

/// Shares of images that each published criterion calls memorised. They differ so much that one alone says little: show
/// them beside the same shares of held-out images.
struct MemorisedFractions {
  double m_third = 0.0;         // m < 1/3
  double sqrt_m_third = 0.0;    // sqrt(m) < 1/3
  double sqrt_m_half = 0.0;     // sqrt(m) < 1/2
  double nn_ratio_third = 0.0;  // nearest / second nearest < 1/3
};
MemorisedFractions memorised_fractions(const NeighbourMeasures& measures);

/// The same fractions, the mean correlation and, where `sources` says which reference image each came from, the share
/// whose nearest is that one; all from the one pass, each with a bootstrap interval over images.
struct MemorisedEstimates {
  Estimate m_third, sqrt_m_third, sqrt_m_half, nn_ratio_third, correlation;
  std::optional<Estimate> source_recovery;
};
MemorisedEstimates memorised_estimates(const NeighbourMeasures& measures, std::span<const std::int64_t> sources = {},
                                       const Bootstrap& settings = {});

/// Cosine of a_i - c and b_i - c for images (n, d) of two models made from the same noise: near 1 where the models have
/// become one function, whatever images each was trained on (Kadkhodaie et al., arXiv 2310.02557). `centre` (d).
std::vector<double> paired_correlation(std::span<const float> a, std::span<const float> b,
                                       std::span<const double> centre);
/// Pixel by pixel, over all images.
std::vector<double> mean_image(const data::ImageSet& images);

}  // namespace tweedie
