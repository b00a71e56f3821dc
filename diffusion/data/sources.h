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

/// .npy, or .npz with 'images' (or one array alone) and perhaps 'labels': (N, C, H, W), (N, H, W) or (N, D) points;
/// uint8, or floats used as they are.
ImageSet load_array_file(const std::filesystem::path& path);

/// The .png files of a folder in the order of their names, all of one size; or of its sub-folders, one a class. A
/// folder that holds `train` (and `test`) has one for each split.
ImageSet load_png_folder(const std::filesystem::path& folder, Split split);

/// A K x K grid of tiles, each a Fashion-MNIST image of the same split resized to resolution / K. Mosaic i is the same
/// whichever others are made.
Source mosaic_source(std::int64_t k, const DataRequest& request);

/// The sets of synthetic.h.
ImageSet point_set(std::string_view kind);
Source gaussian_source(std::int64_t dimension, Split split);
Source mixture_source(std::string_view parameters, Split split);
Source shapes_source(bool colour, const DataRequest& request);

}  // namespace tweedie::data
