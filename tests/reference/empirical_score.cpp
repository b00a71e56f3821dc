#include "kernels/empirical_score/empirical_score.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

// The empirical score as it is defined, one datum after another in double.
namespace tweedie {
namespace {

double read(const Array& array, std::int64_t at) {
  switch (array.dtype) {
    case DType::float64:
      return array.as<double>()[at];
    case DType::float32:
      return static_cast<double>(array.as<float>()[at]);
    default:
      return static_cast<double>(array.as<std::uint8_t>()[at]) / 127.5 - 1.0;
  }
}

void write(const Array& array, std::int64_t at, double value) {
  if (!array) return;
  if (array.dtype == DType::float64)
    array.as<double>()[at] = value;
  else
    array.as<float>()[at] = static_cast<float>(value);
}

void write_index(const Array& array, std::int64_t at, std::int64_t value) {
  if (array) array.as<std::int64_t>()[at] = value;
}

/// Datum `index` in data units; indices from n up are flipped images.
void load(const EvaluateEmpiricalScore& arguments, std::int64_t index, std::vector<double>& x) {
  const std::int64_t rows = arguments.data.shape[0], dimension = arguments.data.shape[1];
  const std::int64_t first = (index < rows ? index : index - rows) * dimension;
  x.resize(static_cast<std::size_t>(dimension));
  if (arguments.data.dtype == DType::uint8) {
    const std::uint8_t* data = arguments.data.as<std::uint8_t>() + first;
    for (std::int64_t j = 0; j < dimension; ++j) x[j] = static_cast<double>(data[j]) / 127.5 - 1.0;
  } else {
    for (std::int64_t j = 0; j < dimension; ++j) x[j] = read(arguments.data, first + j);
  }
  if (index < rows) return;
  const std::int64_t width = arguments.mirrored.width, channels = arguments.mirrored.channels;
  for (std::int64_t y = 0; y < arguments.mirrored.height; ++y)
    for (std::int64_t left = 0; left < width / 2; ++left)
      std::swap_ranges(x.begin() + (y * width + left) * channels, x.begin() + (y * width + left + 1) * channels,
                       x.begin() + (y * width + width - 1 - left) * channels);
}

constexpr double negligible = 1e-60;  // as a weight; saves the time of reading the datum

struct Distance {
  std::int64_t index;
  double value;  // squared
};

void evaluate_point(const EvaluateEmpiricalScore& arguments, std::int64_t b) {
  const std::int64_t rows = arguments.data.shape[0], dimension = arguments.data.shape[1];
  const double alpha = read(arguments.alpha, b), sigma = read(arguments.sigma, b);
  std::vector<double> z(static_cast<std::size_t>(dimension)), x;
  for (std::int64_t j = 0; j < dimension; ++j) z[j] = read(arguments.points, b * dimension + j);
  std::vector<Distance> distances;
  for (std::int64_t index = 0; index < (arguments.mirrored ? 2 : 1) * rows; ++index) {
    if (arguments.point_labels) {
      const std::int64_t label = arguments.point_labels.as<std::int64_t>()[b];
      if (label != -1 && arguments.labels.as<std::int64_t>()[index % rows] != label) continue;
    }
    if (arguments.excluded && arguments.excluded.as<std::int64_t>()[b] == index % rows) continue;
    load(arguments, index, x);
    double sum = 0.0;
    for (std::int64_t j = 0; j < dimension; ++j) {
      const double difference = z[j] - alpha * x[j];
      sum += difference * difference;
    }
    distances.push_back({index, sum});
  }
  require(!distances.empty(), "evaluate_empirical_score: point {} has no data left", b);

  double least = distances.front().value;
  for (const Distance& distance : distances) least = std::min(least, distance.value);
  double normaliser = 0.0, entropy = 0.0;
  for (const Distance& distance : distances) normaliser += std::exp((least - distance.value) / (2.0 * sigma * sigma));
  std::vector<double> weights, mean(static_cast<std::size_t>(dimension));
  for (const Distance& distance : distances) {
    const double log_weight = (least - distance.value) / (2.0 * sigma * sigma) - std::log(normaliser);
    weights.push_back(std::exp(log_weight));
    if (weights.back() > 0.0) entropy -= weights.back() * log_weight;
    if (weights.back() < negligible) continue;
    load(arguments, distance.index, x);
    for (std::int64_t j = 0; j < dimension; ++j) mean[j] += weights.back() * x[j];
  }
  double variance = 0.0;
  for (std::size_t i = 0; i < distances.size(); ++i) {
    if (weights[i] < negligible) continue;
    load(arguments, distances[i].index, x);
    double distance = 0.0;
    for (std::int64_t j = 0; j < dimension; ++j) distance += (x[j] - mean[j]) * (x[j] - mean[j]);
    variance += weights[i] * distance;
  }
  for (std::int64_t j = 0; j < dimension; ++j) {
    write(arguments.x0, b * dimension + j, mean[j]);
    write(arguments.score, b * dimension + j, (alpha * mean[j] - z[j]) / (sigma * sigma));
  }
  write(arguments.entropy, b, entropy);
  write(arguments.effective_count, b, std::exp(entropy));
  write(arguments.covariance_trace, b, alpha * alpha / std::pow(sigma, 4.0) * variance);
  write(arguments.log_sum, b, std::log(normaliser) - least / (2.0 * sigma * sigma));

  const double shell = sigma * std::sqrt(static_cast<double>(dimension));
  Distance closest = distances.front();
  for (const Distance& distance : distances)
    if (std::abs(std::sqrt(distance.value) / shell - 1.0) < std::abs(std::sqrt(closest.value) / shell - 1.0))
      closest = distance;
  write(arguments.r_star, b, std::sqrt(closest.value) / shell);
  write_index(arguments.r_star_index, b, closest.index);

  const Array& lists = arguments.neighbours ? arguments.neighbours : arguments.neighbour_distances;
  if (!lists) return;
  std::stable_sort(distances.begin(), distances.end(),
                   [](const Distance& a, const Distance& c) { return a.value < c.value; });
  for (std::int64_t k = 0; k < lists.shape[1]; ++k) {
    const bool exists = k < static_cast<std::int64_t>(distances.size());
    write_index(arguments.neighbours, b * lists.shape[1] + k, exists ? distances[k].index : -1);
    write(arguments.neighbour_distances, b * lists.shape[1] + k,
          exists ? std::sqrt(distances[k].value) : std::numeric_limits<double>::infinity());
  }
}

void evaluate_reference(Stream&, const EvaluateEmpiricalScore& arguments) {
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t b = 0; b < arguments.points.shape[0]; ++b) evaluate_point(arguments, b);
}

void prepare_reference(Stream&, const PrepareEmpiricalData& arguments) {
  const std::int64_t rows = arguments.data.shape[0], dimension = arguments.data.shape[1];
  double* centre = arguments.centre.as<double>();
  double* norms = arguments.squared_norms.as<double>();
  const bool bytes = arguments.data.dtype == DType::uint8;
  std::vector<double> mean(static_cast<std::size_t>(dimension));
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < dimension; ++j) mean[j] += read(arguments.data, i * dimension + j);
  for (double& value : mean) value /= static_cast<double>(rows);
  for (std::int64_t j = 0; j < dimension; ++j) {
    double value = mean[j];
    if (arguments.mirrored) {
      const std::int64_t width = arguments.mirrored.width, channels = arguments.mirrored.channels;
      const std::int64_t channel = j % channels, x = j / channels % width, y = j / channels / width;
      value = 0.5 * (value + mean[(y * width + width - 1 - x) * channels + channel]);
    }
    centre[j] =
        bytes ? std::round(64.0 * 127.5 * (value + 1.0)) / 64.0 : static_cast<double>(static_cast<float>(value));
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    norms[i] = 0.0;
    for (std::int64_t j = 0; j < dimension; ++j) {
      const double x = bytes ? centre[j] / 127.5 - 1.0 : centre[j];
      norms[i] += std::pow(read(arguments.data, i * dimension + j) - x, 2.0);
    }
  }
}

const bool registered = prepare_empirical_data.implement(DeviceKind::reference, &prepare_reference) &&
                        evaluate_empirical_score.implement(DeviceKind::reference, &evaluate_reference);

}  // namespace
}  // namespace tweedie
