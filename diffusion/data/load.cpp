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

/// The part of `name` after `prefix`, where it begins so.
std::optional<std::string> after(const std::string& name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return {};
  return name.substr(prefix.size());
}

std::int64_t parse_count(const std::string& text, const std::string& name) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1) {
    throw UsageError(fmt::format("data '{}': '{}' must be a whole number of at least 1", name, text));
  }
  return value;
}

void require_train(const DataRequest& request) {
  if (request.split == Split::test) {
    throw UsageError(
        fmt::format("data '{}' have no test split; name other data for the held-out images", request.name));
  }
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
  throw UsageError(fmt::format("data '{}' are unknown; expected one of:\n{}", name, data_help()));
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
  if (request.resolution < 0) throw UsageError(fmt::format("resolution {} must be at least 1", request.resolution));
  const Source source = open(request);
  const std::vector<std::int64_t> positions = positions_for(source, request);
  ImageSet set = source.build(positions);
  if (request.resolution > 0) set = set.resized(request.resolution);
  set.name = request.name;
  return set;
}

std::string data_help() {
  return "  fashion-mnist            60,000 + 10,000 grey 28 x 28 images (Debian package dataset-fashion-mnist)\n"
         "  mosaic:K                 K x K grids of pooled Fashion-MNIST images (resolution 16 unless given)\n"
         "  cifar10:DIR, cifar100:DIR  the binary versions\n"
         "  idx:IMAGES[,LABELS]      a pair of IDX files, gzipped or not\n";
}

}  // namespace tweedie::data
