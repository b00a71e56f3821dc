#include "kernels/empirical_score/stored_data.h"

#include <algorithm>
#include <cmath>

#include "kernels/empirical_score/tile_kernels.h"

namespace tweedie::empirical {

std::vector<std::int32_t> mirror_permutation(const ImageExtents& extents) {
  std::vector<std::int32_t> permutation;
  if (!extents) return permutation;
  permutation.reserve(static_cast<std::size_t>(extents.count()));
  for (std::int64_t y = 0; y < extents.height; ++y)
    for (std::int64_t x = 0; x < extents.width; ++x)
      for (std::int64_t channel = 0; channel < extents.channels; ++channel)
        permutation.push_back(
            static_cast<std::int32_t>((y * extents.width + extents.width - 1 - x) * extents.channels + channel));
  return permutation;
}

StoredData::StoredData(const Array& data, const Array& centre, const Array& squared_norms, const ImageExtents& mirrored)
    : data_(data),
      rows_(data.shape[0]),
      dimension_(data.shape[1]),
      offset_(data.dtype == DType::uint8 ? -1.0 : 0.0),
      unit_(data.dtype == DType::uint8 ? 1.0 / 127.5 : 1.0),
      squared_norms_(squared_norms.as<double>()),
      permutation_(mirror_permutation(mirrored)) {
  const double* centre_data = centre.as<double>();
  stored_centre_.assign(centre_data, centre_data + dimension_);
  for (float value : stored_centre_) centre_values_.push_back(offset_ + unit_ * static_cast<double>(value));
  const double largest = std::sqrt(*std::max_element(squared_norms_, squared_norms_ + rows_)) / unit_;
  int exponent = 0;
  if (largest > 0.0) std::frexp(largest, &exponent);
  exponent = std::clamp(exponent, -120, 120);
  tile_scale_ = std::ldexp(1.0f, -exponent);
  tile_unit_ = std::ldexp(unit_, exponent);
}

PointFrame StoredData::frame(const Array& points, std::int64_t row, double alpha, double sigma) const {
  PointFrame frame;
  frame.alpha = alpha;
  frame.sigma = sigma;
  frame.step = alpha * unit_;
  frame.point.resize(static_cast<std::size_t>(dimension_));
  for (std::int64_t j = 0; j < dimension_; ++j) {
    const std::int64_t at = row * dimension_ + j;
    frame.point[j] =
        points.dtype == DType::float32 ? static_cast<double>(points.as<float>()[at]) : points.as<double>()[at];
    const double difference = frame.point[j] - alpha * centre_values_[j];
    frame.centre_distance2 += difference * difference;
  }
  frame.tile_norm = std::sqrt(frame.centre_distance2) / tile_unit_;
  frame.origin = frame.point;
  for (double& value : frame.origin) value -= alpha * offset_;
  for (std::int32_t column : permutation_) frame.mirrored_origin.push_back(frame.origin[column]);
  return frame;
}

void StoredData::tile_query(const PointFrame& frame, float* q, float* mirrored_q) const {
  for (std::int64_t j = 0; j < dimension_; ++j)
    q[j] =
        frame.alpha == 0.0 ? 0.0f : static_cast<float>((frame.point[j] - frame.alpha * centre_values_[j]) / tile_unit_);
  // The centre is its own flipped image, so that <flip(y), q> = <y, flip(q)>: one tile serves both.
  if (mirrored_q != nullptr)
    for (std::int64_t j = 0; j < dimension_; ++j) mirrored_q[j] = q[permutation_[j]];
}

void StoredData::tile_row(std::int64_t row, float* y) const {
  if (data_.dtype == DType::uint8)
    centre_row(data_.as<std::uint8_t>() + row * dimension_, stored_centre_.data(), tile_scale_, y, dimension_);
  else
    centre_row(data_.as<float>() + row * dimension_, stored_centre_.data(), tile_scale_, y, dimension_);
}

double StoredData::squared_distance(const PointFrame& frame, std::int64_t index) const {
  const bool flipped = is_flipped(index);
  const std::int64_t row = flipped ? index - rows_ : index;
  const double* origin = flipped ? frame.mirrored_origin.data() : frame.origin.data();
  if (data_.dtype == DType::uint8)
    return empirical::squared_distance(data_.as<std::uint8_t>() + row * dimension_, origin, frame.step, dimension_);
  return empirical::squared_distance(data_.as<float>() + row * dimension_, origin, frame.step, dimension_);
}

void StoredData::load(std::int64_t index, double* v) const {
  const bool flipped = is_flipped(index);
  const std::int64_t first = (flipped ? index - rows_ : index) * dimension_;
  const auto read = [&](const auto* stored) {
    for (std::int64_t j = 0; j < dimension_; ++j)
      v[j] = static_cast<double>(stored[first + (flipped ? permutation_[j] : j)]);
  };
  if (data_.dtype == DType::uint8)
    read(data_.as<std::uint8_t>());
  else
    read(data_.as<float>());
}

double StoredData::add_difference(std::int64_t index, const double* reference, double weight, double* moment) const {
  const std::int64_t first = (is_flipped(index) ? index - rows_ : index) * dimension_;
  if (data_.dtype == DType::uint8)
    return empirical::add_difference(data_.as<std::uint8_t>() + first, reference, weight, moment, dimension_);
  return empirical::add_difference(data_.as<float>() + first, reference, weight, moment, dimension_);
}

}  // namespace tweedie::empirical
