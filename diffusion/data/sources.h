#pragma once

#include <functional>

#include "diffusion/data/load.h"

/// What load_data chooses from; one function a kind of data.
namespace tweedie::data {

/// A data set of which only the chosen images need be made.
struct Source {
  std::int64_t count = 0;
  std::vector<std::int64_t> labels;  // of all images, or empty
  std::int64_t classes = 0;
  /// The images at these positions, their source_indices being the positions.
  std::function<ImageSet(std::span<const std::int64_t> positions)> build;
};

/// All of a set that is in memory already.
Source source_of(ImageSet set);

ImageSet load_fashion_mnist(const std::filesystem::path& folder, Split split);
/// "IMAGES[,LABELS]": one or two IDX files.
ImageSet load_idx_pair(std::string_view files);

/// A K x K grid of tiles, each a Fashion-MNIST image of the same split resized to resolution / K. Mosaic i is the same
/// whichever others are made.
Source mosaic_source(std::int64_t k, const DataRequest& request);

}  // namespace tweedie::data
