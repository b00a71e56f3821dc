#include "diffusion/feature_space.h"

#include <algorithm>

namespace tweedie {

EncoderFeatures::EncoderFeatures(std::shared_ptr<const ConvEncoder> encoder, std::string description)
    : encoder_(std::move(encoder)), description_(std::move(description)) {
  require(encoder_ != nullptr, "encoder features: no encoder");
}

std::vector<float> EncoderFeatures::features(std::span<const float> images) const {
  const ConvEncoderConfig& config = encoder_->config();
  const auto d = static_cast<std::size_t>(config.height * config.width * config.channels);
  require(images.size() % d == 0, "encoder features: {} values are no whole images of {} x {} x {}", images.size(),
          config.height, config.width, config.channels);
  const NoGrad guard;
  constexpr std::size_t batch = 256;
  std::vector<float> all;
  for (std::size_t first = 0; first < images.size() / d; first += batch) {
    const std::size_t count = std::min(batch, images.size() / d - first);
    const Tensor x = Tensor::from_host(images.subspan(first * d, count * d),
                                       {static_cast<std::int64_t>(count), config.height, config.width, config.channels},
                                       encoder_->device());
    const std::vector<float> values = encoder_->features(x).to_host();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

}  // namespace tweedie
