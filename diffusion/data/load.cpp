#include "diffusion/data/load.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>

#include "diffusion/data/cifar.h"
#include "diffusion/data/selection.h"
#include "diffusion/data/sources.h"

namespace tweedie::data {
namespace {

// Beyond any use, and well within what the sizes computed from them can hold.
constexpr std::int64_t largest_resolution = 1 << 13, largest_count = 1 << 20;

/// The part of `name` after `prefix`, where it begins so.
std::optional<std::string> after(const std::string& name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return {};
  return name.substr(prefix.size());
}

std::int64_t parse_count(const std::string& text, const std::string& name) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > largest_count) {
    throw UsageError(fmt::format("data '{}': '{}' must be a whole number of 1 to {}", name, text, largest_count));
  }
  return value;
}

void require_train(const DataRequest& request) {
  if (request.split == Split::test) {
    throw UsageError(
        fmt::format("data '{}' have no test split; name other data for the held-out images", request.name));
  }
}

void require_no_resolution(const DataRequest& request) {
  if (request.resolution != 0) {
    throw UsageError(fmt::format("data '{}' are points and have no resolution", request.name));
  }
}

Source open_points(const DataRequest& request) {
  const std::string& name = request.name;
  require_no_resolution(request);
  if (const auto dimension = after(name, "gaussian:")) {
    return gaussian_source(parse_count(*dimension, name), request.split);
  }
  if (const auto parameters = after(name, "mixture:")) return mixture_source(*parameters, request.split);
  require_train(request);
  return source_of(point_set(after(name, "points:").value_or("")));
}

Source open(const DataRequest& request) {
  const std::string& name = request.name;
  if (name == "fashion-mnist") return source_of(load_fashion_mnist(request.folder, request.split));
  if (const auto k = after(name, "mosaic:")) return mosaic_source(parse_count(*k, name), request);
  if (const auto folder = after(name, "cifar10:")) return source_of(load_cifar10(*folder, request.split));
  if (const auto folder = after(name, "cifar100:")) return source_of(load_cifar100(*folder, request.split));
  if (const auto files = after(name, "idx:")) {
    require_train(request);
    return source_of(load_idx_pair(*files));
  }
  if (name == "shapes" || name == "shapes:rgb") return shapes_source(name == "shapes:rgb", request);
  for (std::string_view prefix : {"points:", "gaussian:", "mixture:"})
    if (name.starts_with(prefix)) return open_points(request);
  if (name.ends_with(".npy") || name.ends_with(".npz")) {
    require_train(request);
    return source_of(load_array_file(name));
  }
  if (std::filesystem::is_directory(name)) return source_of(load_png_folder(name, request.split));
  throw UsageError(
      fmt::format("data '{}' are unknown, and no folder has that name; expected one of:\n{}", name, data_help()));
}

std::vector<std::int64_t> positions_for(const Source& source, const DataRequest& request) {
  std::vector<std::int64_t> positions(static_cast<std::size_t>(source.count));
  std::iota(positions.begin(), positions.end(), std::int64_t{0});
  if (!request.classes.empty()) {
    if (source.labels.empty()) throw UsageError(fmt::format("classes: data '{}' have no labels", request.name));
    for (std::int64_t label : request.classes) {
      if (std::find(source.labels.begin(), source.labels.end(), label) == source.labels.end()) {
        throw UsageError(fmt::format("classes: data '{}' have no image of class {}, their classes are 0 to {}",
                                     request.name, label, source.classes - 1));
      }
    }
    std::erase_if(positions, [&](std::int64_t position) {
      const std::int64_t label = source.labels[static_cast<std::size_t>(position)];
      return std::find(request.classes.begin(), request.classes.end(), label) == request.classes.end();
    });
  }
  if (request.subset == 0) return positions;
  const auto available = static_cast<std::int64_t>(positions.size());
  if (request.subset < 1 || request.subset > available) {
    throw UsageError(fmt::format("subset: {} images asked for, data '{}' ({}) have {}", request.subset, request.name,
                                 name_of(request.split), available));
  }
  std::vector<std::int64_t> chosen;
  if (request.class_balanced) {
    if (source.labels.empty()) throw UsageError(fmt::format("balanced subset: data '{}' have no labels", request.name));
    std::vector<std::int64_t> labels;
    for (std::int64_t position : positions) labels.push_back(source.labels[static_cast<std::size_t>(position)]);
    chosen = choose_balanced(labels, source.classes, request.subset, request.subset_seed);
  } else {
    chosen = choose(available, request.subset, request.subset_seed);
  }
  for (std::int64_t& position : chosen) position = positions[static_cast<std::size_t>(position)];
  return chosen;
}

}  // namespace

Source source_of(ImageSet set) {
  Source source{.count = set.count, .labels = set.labels, .classes = set.classes, .build = {}};
  source.build = [set = std::move(set)](std::span<const std::int64_t> positions) {
    bool all = static_cast<std::int64_t>(positions.size()) == set.count;
    for (std::size_t i = 0; all && i < positions.size(); ++i) all = positions[i] == static_cast<std::int64_t>(i);
    return all ? set : set.selected(positions);
  };
  return source;
}

ImageSet load_data(const DataRequest& request) {
  if (request.resolution < 0 || request.resolution > largest_resolution) {
    throw UsageError(
        fmt::format("resolution {} must be 1 to {} (0: the data's own)", request.resolution, largest_resolution));
  }
  const Source source = open(request);
  const std::vector<std::int64_t> positions = positions_for(source, request);
  ImageSet set = source.build(positions);
  if (request.resolution > 0) set = set.resized(request.resolution);
  set.name = request.name;
  return set;
}

std::string data_help() {
  return "  fashion-mnist              60,000 + 10,000 grey 28 x 28 images (Debian package dataset-fashion-mnist)\n"
         "  mosaic:K                   K x K grids of pooled Fashion-MNIST images (resolution 16 unless given)\n"
         "  cifar10:DIR, cifar100:DIR  the binary versions\n"
         "  idx:IMAGES[,LABELS]        IDX files, gzipped or not\n"
         "  PATH.npy, PATH.npz         (N,C,H,W), (N,H,W) or (N,D); uint8 or floats; .npz: 'images' and 'labels'\n"
         "  DIR                        8-bit grey or RGB .png files of one size, or such folders, one a class\n"
         "  points:KIND                six points in the plane: polygon, line, blend or random\n"
         "  gaussian:D                 N(0, I) in D dimensions\n"
         "  mixture:K,D[,SPREAD[,DEV]] K Gaussians in D dimensions, means N(0, SPREAD^2), each of deviation DEV\n"
         "  shapes, shapes:rgb         drawn discs, squares and triangles (resolution 32 unless given)\n";
}

}  // namespace tweedie::data
