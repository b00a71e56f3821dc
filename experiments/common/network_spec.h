#pragma once

#include <string>

#include "diffusion/data/image_set.h"

namespace tweedie::experiments {

/// What a network is told of an image besides its noise.
struct Conditioning {
  bool on_classes = false;
  double label_drop = 0.0;  // above 0: one label more, the null class
};

/// The config.json of a network for these images. `spec` is one of those in network_help(), or the path of a
/// config.json, which is taken as it is. Throws UsageError for anything else, and where the images do not suit the
/// network.
std::string network_config(const std::string& spec, const data::ImageSet& images, const Conditioning& conditioning);

/// One line for --help.
std::string network_help();

}  // namespace tweedie::experiments
