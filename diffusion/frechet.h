#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "diffusion/data/image_set.h"
#include "diffusion/feature_space.h"

namespace tweedie {

/// Mean and covariance of feature vectors.
struct FeatureMoments {
  std::int64_t count = 0, dimension = 0;
  std::vector<double> mean;        // (k)
  std::vector<double> covariance;  // (k, k), unbiased
};
/// features (count, dimension) row-major. Throws Error below two vectors.
FeatureMoments feature_moments(std::span<const float> features, std::int64_t dimension);

/// |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2): the squared 2-Wasserstein distance of two normal distributions
/// (Dowson and Landau 1982), the Frechet distance of Heusel et al. 2017. Biased upwards for few samples: compare only
/// equal counts, beside the distance of as many held-out images.
double frechet_distance(const FeatureMoments& a, const FeatureMoments& b);

/// A fixed feature space with nothing to train: the projections on the leading principal components of a set of images.
class PrincipalFeatures final : public FeatureSpace {
 public:
  /// At most `components`; fewer where the images have fewer dimensions or are fewer.
  PrincipalFeatures(const data::ImageSet& images, std::int64_t components = 64);
  using FeatureSpace::features;
  std::int64_t dimension() const override { return dimension_; }
  /// Share of the images' variance that the space keeps.
  double explained() const { return explained_; }
  std::vector<float> features(std::span<const float> images) const override;
  std::string describe() const override;

 private:
  std::int64_t pixels_ = 0, dimension_ = 0;
  double explained_ = 0.0;
  std::vector<double> mean_;        // (d)
  std::vector<double> components_;  // (dimension, d)
};

}  // namespace tweedie
