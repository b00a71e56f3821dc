#pragma once

#include <filesystem>

#include "diffusion/data/image_set.h"

namespace tweedie::data {

struct DataRequest {
  std::string name = "fashion-mnist";  // see data_help()
  Split split = Split::train;
  std::int64_t resolution = 0;             // 0: the data's own
  std::vector<std::int64_t> classes = {};  // empty: all
  std::int64_t subset = 0;                 // images, drawn without replacement after the choice of classes; 0: all
  std::uint64_t subset_seed = 0;
  bool class_balanced = false;        // of the subset
  std::filesystem::path folder = {};  // of the Fashion-MNIST files, where they are not where the package puts them
};

/// Loads or makes the data that `request` names, then takes the classes, the subset, and the resolution. A mistake in
/// the request is a UsageError (unknown name, more images asked for than there are, a split that the data do not have);
/// a missing or bad file is an Error that names it and what would supply it.
ImageSet load_data(const DataRequest& request);

/// One line for each kind of name that load_data knows, for --help.
std::string data_help();

}  // namespace tweedie::data
