#include "diffusion/features.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/runtime/error.h"
#include "kernels/runtime/random.h"

namespace tweedie {

FlowAxis FeatureAxis::flow_axis() const {
  const double length = to - from;
  if (basis == FlowAxis::Basis::fourier)
    return {.basis = basis, .count = count, .from = 0.0f, .scale = static_cast<float>(1.0 / length)};
  const double spacing = length / static_cast<double>(count - 1);
  return {.basis = basis,
          .count = count,
          .from = static_cast<float>(from),
          .scale = static_cast<float>(1.0 / spacing),
          .sharpness = static_cast<float>(0.5 / (width * width))};
}

double FeatureAxis::peak() const {
  if (basis == FlowAxis::Basis::fourier) return 1.0;
  const double deviation = width * (to - from) / static_cast<double>(count - 1);
  return 1.0 / (std::sqrt(2.0 * std::numbers::pi) * deviation);
}

void FeatureAxis::evaluate(double x, std::span<double> out) const {
  const double length = to - from;
  if (basis == FlowAxis::Basis::gaussian) {
    const double scale = static_cast<double>(count - 1) / length, height = peak();
    for (std::size_t a = 0; a < out.size(); ++a) {
      const double distance = ((x - from) * scale - static_cast<double>(a)) / width;
      out[a] = height * std::exp(-0.5 * distance * distance);
    }
    return;
  }
  const std::size_t sines = (out.size() - 1) / 2, cosines = out.size() - 1 - sines;
  const double angle = 2.0 * std::numbers::pi * x / length;
  out[0] = 1.0;
  for (std::size_t n = 1; n <= cosines; ++n) out[n] = std::cos(static_cast<double>(n) * angle);
  for (std::size_t n = 1; n <= sines; ++n) out[cosines + n] = std::sin(static_cast<double>(n) * angle);
}

CrossedFeatures::CrossedFeatures(std::vector<FeatureAxis> space, FeatureAxis time)
    : space_(std::move(space)), time_(time) {
  require(!space_.empty(), "crossed features: no coordinate");
  std::vector<FeatureAxis> axes = space_;
  axes.push_back(time_);
  for (const FeatureAxis& axis : axes) {
    const bool gaussian = axis.basis == FlowAxis::Basis::gaussian;
    require(axis.count >= (gaussian ? 2 : 1) && axis.count <= FlowAxis::most,
            "crossed features: {} functions of a coordinate, expected {} to {}", axis.count, gaussian ? 2 : 1,
            FlowAxis::most);
    require(axis.to > axis.from && axis.width > 0.0, "crossed features: interval [{}, {}] and width {}", axis.from,
            axis.to, axis.width);
  }
}

std::int64_t CrossedFeatures::count() const {
  std::int64_t product = time_.count;
  for (const FeatureAxis& axis : space_) product *= axis.count;
  return product;
}

void CrossedFeatures::evaluate(std::span<const double> z, double t, std::span<double> out) const {
  require(static_cast<std::int64_t>(z.size()) == dimension() && static_cast<std::int64_t>(out.size()) == count(),
          "crossed features: a point of dimension {} into {} numbers, expected {} and {}", z.size(), out.size(),
          dimension(), count());
  double values[FlowAxis::most];
  const auto fill = [&](const FeatureAxis& axis, double x) {
    axis.evaluate(x, std::span(values, static_cast<std::size_t>(axis.count)));
  };
  // Grown from the first axis, each pass from the back so that it can be in place.
  fill(space_[0], z[0]);
  std::size_t filled = static_cast<std::size_t>(space_[0].count);
  std::copy_n(values, filled, out.begin());
  for (std::size_t j = 1; j <= space_.size(); ++j) {
    const FeatureAxis& axis = j < space_.size() ? space_[j] : time_;
    fill(axis, j < space_.size() ? z[j] : t);
    const auto width = static_cast<std::size_t>(axis.count);
    for (std::size_t i = filled; i-- > 0;) {
      const double factor = out[i];
      for (std::size_t a = width; a-- > 0;) out[i * width + a] = factor * values[a];
    }
    filled *= width;
  }
}

std::string CrossedFeatures::describe() const {
  std::string text;
  for (const FeatureAxis& axis : space_) text += fmt::format("{} x ", axis.count);
  return fmt::format("{}{} {} features", text, time_.count,
                     time_.basis == FlowAxis::Basis::gaussian ? "Gaussian" : "Fourier");
}

RandomFeatures::RandomFeatures(std::int64_t dimension, std::int64_t count, double bandwidth, double time_scale,
                               std::uint64_t seed)
    : dimension_(dimension), bandwidth_(bandwidth), time_scale_(time_scale) {
  require(dimension > 0 && count > 0 && bandwidth > 0.0 && time_scale > 0.0,
          "random features: dimension {}, {} features, bandwidth {} and time scale {}, expected all above 0", dimension,
          count, bandwidth, time_scale);
  const RandomKey key{seed, Purpose::initialise_parameters, 0};
  for (std::int64_t f = 0; f < count; ++f) {
    const auto stream = static_cast<std::uint32_t>(f);
    for (std::int64_t j = 0; j <= dimension; ++j)
      frequencies_.push_back(double{normal(key, stream, static_cast<std::uint32_t>(j))} / bandwidth);
    phases_.push_back(2.0 * std::numbers::pi * uniform({seed, Purpose::initialise_parameters, 1}, stream));
  }
}

void RandomFeatures::evaluate(std::span<const double> z, double t, std::span<double> out) const {
  require(static_cast<std::int64_t>(z.size()) == dimension_ && out.size() == phases_.size(),
          "random features: a point of dimension {} into {} numbers, expected {} and {}", z.size(), out.size(),
          dimension_, phases_.size());
  const std::size_t d = z.size();
  const double scale = std::sqrt(2.0 / static_cast<double>(phases_.size()));
  for (std::size_t f = 0; f < phases_.size(); ++f) {
    double angle = phases_[f] + frequencies_[f * (d + 1) + d] * t / time_scale_;
    for (std::size_t j = 0; j < d; ++j) angle += frequencies_[f * (d + 1) + j] * z[j];
    out[f] = scale * std::cos(angle);
  }
}

std::string RandomFeatures::describe() const {
  return fmt::format("{} random features of bandwidth {:g}", phases_.size(), bandwidth_);
}

}  // namespace tweedie
