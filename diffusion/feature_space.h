#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "diffusion/data/image_set.h"
#include "nn/conv_encoder.h"

namespace tweedie {

/// Where distances between sets of images are taken. A Frechet or kernel distance says nothing without it.
class FeatureSpace {
 public:
  virtual ~FeatureSpace() = default;
  virtual std::int64_t dimension() const = 0;
  /// images (count, d) in [-1, 1] units: (count, dimension).
  virtual std::vector<float> features(std::span<const float> images) const = 0;
  std::vector<float> features(const data::ImageSet& images) const { return features(images.to_float()); }
  /// For reports: "64 principal components of ...", "128 features of a classifier of ...".
  virtual std::string describe() const = 0;
};

/// The pooled features of a trained classifier, and its patches.
class EncoderFeatures final : public FeatureSpace {
 public:
  /// `description` says what the encoder was trained on and how well it does.
  EncoderFeatures(std::shared_ptr<const ConvEncoder> encoder, std::string description);
  using FeatureSpace::features;
  std::int64_t dimension() const override { return encoder_->feature_channels(); }
  std::vector<float> features(std::span<const float> images) const override;
  std::string describe() const override { return description_; }
  const ConvEncoder& encoder() const { return *encoder_; }
  std::shared_ptr<const ConvEncoder> shared_encoder() const { return encoder_; }

 private:
  std::shared_ptr<const ConvEncoder> encoder_;
  std::string description_;
};

}  // namespace tweedie
