#pragma once

#include <cstdint>

#include "kernels/empirical_score/empirical_score.h"
#include "kernels/runtime/kernel.cuh"

// A data set, points and results as the CUDA kernels of the empirical score see them.
namespace tweedie::empirical_cuda {

inline constexpr int block_size = 256;  // threads of the kernels that give a block to each point

/// float32 or float64 values, read and written as double.
struct Values {
  const void* data = nullptr;
  bool wide = false;
  __device__ double operator[](std::int64_t i) const {
    return wide ? static_cast<const double*>(data)[i] : static_cast<double>(static_cast<const float*>(data)[i]);
  }
};
struct Results {
  void* data = nullptr;  // null: not asked for
  bool wide = false;
  __device__ void set(std::int64_t i, double value) const {
    if (data == nullptr) return;
    if (wide)
      static_cast<double*>(data)[i] = value;
    else
      static_cast<float*>(data)[i] = static_cast<float>(value);
  }
};
inline Values values_of(const Array& array) {
  return {array.data, array.dtype == DType::float64};
}
inline Results results_of(const Array& array) {
  return {array.data, array.dtype == DType::float64};
}

/// Tiles hold y = (x - x(centre)) / unit, where unit is that of the stored values times a power of two that brings the
/// largest |y| into (1/2, 1]: float32 digits depend neither on the scale nor on the offset of the data.
struct TileScale {
  double unit;
  float factor;  // stored values to tile units
};

/// Rows of stored values v that stand for x = offset + unit v; an index from `rows` up is the flipped image of
/// index - rows.
struct DataSet {
  const std::uint8_t* bytes = nullptr;
  const float* floats = nullptr;  // one of the two
  std::int64_t rows = 0;
  int dimension = 0, copies = 1;
  int width = 0, channels = 0;  // of mirrored images
  double offset = 0.0, unit = 1.0;
  const double* centre = nullptr;
  const double* squared_norms = nullptr;
  const std::int64_t* labels = nullptr;
  const TileScale* scale = nullptr;

  __device__ float stored(std::int64_t row, int column) const {
    const std::int64_t at = row * dimension + column;
    return bytes != nullptr ? static_cast<float>(bytes[at]) : floats[at];
  }
  __device__ int mirrored(int column) const {
    const int pixel = column / channels, x = pixel % width;
    return column + (width - 1 - 2 * x) * channels;
  }
  /// v of a datum.
  __device__ double value(std::int64_t index, int column) const {
    return static_cast<double>(index < rows ? stored(index, column) : stored(index - rows, mirrored(column)));
  }
  __device__ double centre_value(int column) const {
    return offset + unit * static_cast<double>(static_cast<float>(centre[column]));
  }
};

inline DataSet data_set_of(const Array& data, const Array& centre, const Array& squared_norms,
                           const ImageExtents& mirrored) {
  DataSet set;
  if (data.dtype == DType::uint8) {
    set.bytes = data.as<std::uint8_t>();
    set.offset = -1.0;
    set.unit = 1.0 / 127.5;
  } else {
    set.floats = data.as<float>();
  }
  set.rows = data.shape[0];
  set.dimension = static_cast<int>(data.shape[1]);
  if (mirrored) {
    set.copies = 2;
    set.width = static_cast<int>(mirrored.width);
    set.channels = static_cast<int>(mirrored.channels);
  }
  set.centre = centre.as<double>();
  set.squared_norms = squared_norms.as<double>();
  return set;
}

}  // namespace tweedie::empirical_cuda
