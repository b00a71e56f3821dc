#pragma once

#include <cstdint>
#include <vector>

#include "kernels/empirical_score/empirical_score.h"

namespace tweedie::empirical {

/// Column j of a flipped image is column permutation[j] of the image.
std::vector<std::int32_t> mirror_permutation(const ImageExtents& extents);

/// One point of an evaluation in double, as exact distances need it: z - alpha x = origin - step v for stored values v.
struct PointFrame {
  double alpha = 0.0, sigma = 1.0;
  std::vector<double> point;            // z (d)
  std::vector<double> origin;           // z - alpha offset (d)
  std::vector<double> mirrored_origin;  // its flipped image; empty without mirror images
  double step = 0.0;                    // alpha unit
  double centre_distance2 = 0.0;        // |z - alpha x(centre)|^2
  double tile_norm = 0.0;               // the norm of q = (z - alpha x(centre)) / tile_unit
};

/// A data set where it is stored, read as x = offset + unit v, and in tiles y = (x - x(centre)) / tile_unit: tile_unit
/// is unit times a power of two that brings the largest |y| into (1/2, 1], so that neither the scale nor the offset of
/// the data costs float32 digits. An index from `rows()` up is the flipped image of index - rows().
class StoredData {
 public:
  StoredData(const Array& data, const Array& centre, const Array& squared_norms, const ImageExtents& mirrored);

  std::int64_t rows() const { return rows_; }
  std::int64_t dimension() const { return dimension_; }
  std::int64_t copies() const { return permutation_.empty() ? 1 : 2; }
  double tile_unit() const { return tile_unit_; }
  float tile_scale() const { return tile_scale_; }
  bool are_bytes() const { return data_.dtype == DType::uint8; }
  const std::uint8_t* bytes(std::int64_t row) const { return data_.as<std::uint8_t>() + row * dimension_; }
  const std::vector<std::int32_t>& permutation() const { return permutation_; }
  bool is_flipped(std::int64_t index) const { return index >= rows_; }
  double offset() const { return offset_; }
  double unit() const { return unit_; }
  const std::vector<float>& stored_centre() const { return stored_centre_; }  // in stored units

  PointFrame frame(const Array& points, std::int64_t row, double alpha, double sigma) const;
  /// q and, with mirror images, its flipped image, as float32.
  void tile_query(const PointFrame& frame, float* q, float* mirrored_q) const;
  /// y of a row and |y|^2.
  void tile_row(std::int64_t row, float* y) const;
  double tile_squared_norm(std::int64_t row) const { return squared_norms_[row] / (tile_unit_ * tile_unit_); }

  double squared_distance(const PointFrame& frame, std::int64_t index) const;
  /// v of a datum, in stored units.
  void load(std::int64_t index, double* v) const;
  /// With v of datum `index` in stored units: adds weight (v - reference) to moment and returns |v - reference|^2. For
  /// a flipped image both vectors are those of the flipped space (their columns permuted).
  double add_difference(std::int64_t index, const double* reference, double weight, double* moment) const;

 private:
  const Array data_;
  std::int64_t rows_, dimension_;
  double offset_, unit_, tile_unit_;
  float tile_scale_;  // stored values to tile units
  const double* squared_norms_;
  std::vector<float> stored_centre_;
  std::vector<double> centre_values_;
  std::vector<std::int32_t> permutation_;
};

}  // namespace tweedie::empirical
