#pragma once

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "autograd/ops/shape.h"
#include "nn/io/safetensors.h"

namespace tweedie::testing {

inline std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(TWEEDIE_SOURCE_DIR) / "tests/golden" / name;
}

/// A floating or int64 tensor of a golden file, in the file's layout.
inline Tensor golden_tensor(const io::SafetensorsFile& file, const std::string& name, Device device) {
  const io::HostArray array = file.read(name);
  if (array.dtype == DType::int64) return Tensor::from_host(array.as<std::int64_t>(), array.shape, device);
  return Tensor::from_host(array.as<float>(), array.shape, device);
}

inline double norm_of(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

inline double distance(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

/// |a - b| / |b| in the Euclidean norm.
inline double relative_distance(const Tensor& a, const Tensor& b) {
  const std::vector<double> expected = b.to_host_double();
  return distance(a.to_host_double(), expected) / norm_of(expected);
}

}  // namespace tweedie::testing
