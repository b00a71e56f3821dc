#include "diffusion/duplicated_target.h"

#include <algorithm>

namespace tweedie {

DuplicatedTarget::DuplicatedTarget(const data::ImageSet& region, const EmpiricalScore& score_set)
    : score_images_(score_set.images()) {
  require(region.dimension() == score_set.dimension(), "duplicated target: images of {} numbers for a set of {}",
          region.dimension(), score_set.dimension());
  const auto d = static_cast<std::size_t>(region.dimension());
  constexpr std::int64_t piece = 1024;
  for (std::int64_t first = 0; first < region.count; first += piece) {
    const auto rows = static_cast<std::size_t>(std::min(piece, region.count - first));
    std::vector<float> images(rows * d);
    for (std::size_t row = 0; row < rows; ++row)
      region.copy_float(first + static_cast<std::int64_t>(row), std::span(images).subspan(row * d, d));
    const std::vector<float> ones(rows, 1.0f);
    EmpiricalOptions options;
    options.posterior = false;
    const EmpiricalResult nearest = score_set.evaluate(images, ones, ones, options);
    stands_for_.insert(stands_for_.end(), nearest.nearest.begin(), nearest.nearest.end());
  }
}

Tensor DuplicatedTarget::target(const Draw& draw, const Process& process,
                                const Parameterisation& parameterisation) const {
  const auto d = static_cast<std::size_t>(score_images_.dimension());
  std::vector<double> clean(draw.source.size() * d);
  std::vector<float> image(d);
  for (std::size_t row = 0; row < draw.source.size(); ++row) {
    score_images_.copy_float(stands_for_.at(static_cast<std::size_t>(draw.source[row])), image);
    std::copy(image.begin(), image.end(), clean.begin() + static_cast<std::ptrdiff_t>(row * d));
  }
  return target_of_clean(draw, clean, process, parameterisation);
}

}  // namespace tweedie
