#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nn/layers.h"

namespace tweedie {

/// A small convolutional classifier whose features others use.
struct ConvEncoderConfig {
  std::int64_t height = 28, width = 28, channels = 1;  // multiples of 4
  std::int64_t base_channels = 32;                     // of the first level; the features have four times as many
  std::int64_t classes = 10;
  bool operator==(const ConvEncoderConfig&) const = default;

  static ConvEncoderConfig from_json(std::string_view text, std::string_view origin = "config.json");
  std::string to_json() const;
  void validate(std::string_view origin = "encoder") const;
};

/// Five 3 x 3 convolutions, each followed by group norm and silu, the second and the fourth with stride 2; their mean
/// over positions goes to a linear classifier. Parameters: conv.i, norm.i, classifier.
class ConvEncoder : public Module {
 public:
  explicit ConvEncoder(const ConvEncoderConfig& config, Device device = {}, std::uint64_t seed = 0);

  /// x (N, height, width, channels) to (N, height / 4, width / 4, feature_channels()).
  Tensor patches(const Tensor& x) const;
  /// x to the mean of its patches, (N, feature_channels()).
  Tensor features(const Tensor& x) const;
  /// x to (N, classes).
  Tensor logits(const Tensor& x) const;

  std::int64_t feature_channels() const { return 4 * config_.base_channels; }
  const ConvEncoderConfig& config() const { return config_; }

 private:
  ConvEncoderConfig config_;
  std::vector<const Conv2d*> convolutions_;
  std::vector<const GroupNorm*> norms_;
  const Linear* classifier_ = nullptr;
};

/// A folder with config.json and the weights, as nn/checkpoint.h has for networks. Loading throws Error naming the file
/// that is missing or does not fit.
void save_encoder(const std::filesystem::path& folder, const ConvEncoder& encoder);
std::unique_ptr<ConvEncoder> load_encoder(const std::filesystem::path& folder, Device device = {});

}  // namespace tweedie
