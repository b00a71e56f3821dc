#include "diffusion/empirical_score.h"

#include "kernels/empirical_score/empirical_score.h"

namespace tweedie {
namespace {

Tensor index_tensor(std::span<const std::int64_t> values, Device device) {
  if (values.empty()) return {};
  return Tensor::from_host(values, {static_cast<std::int64_t>(values.size())}, device);
}

}  // namespace

EmpiricalScore::EmpiricalScore(const data::ImageSet& images, Device device, bool mirrored)
    : images_(images), mirrored_(mirrored) {
  require(images.count >= 1, "empirical score: the data set is empty");
  const Shape rows{images.count, images.dimension()};
  pixels_ = images.dtype == DType::uint8 ? Tensor::from_host(images.bytes(), rows, device)
                                         : Tensor::from_host(images.floats(), rows, device);
  centre_ = Tensor::empty({images.dimension()}, DType::float64, device);
  squared_norms_ = Tensor::empty({images.count}, DType::float64, device);
  labels_ = index_tensor(images.labels, device);
  const ImageExtents extents = mirrored ? ImageExtents{images.height, images.width, images.channels} : ImageExtents{};
  prepare_empirical_data(pixels_.stream(), {.data = pixels_.array(),
                                            .centre = centre_.array(),
                                            .squared_norms = squared_norms_.array(),
                                            .mirrored = extents});
}

EmpiricalResult EmpiricalScore::evaluate(std::span<const float> points, std::span<const float> alpha,
                                         std::span<const float> sigma, const EmpiricalOptions& options) const {
  const auto count = static_cast<std::int64_t>(alpha.size());
  const std::int64_t d = dimension();
  require(sigma.size() == alpha.size() && static_cast<std::int64_t>(points.size()) == count * d,
          "empirical score: {} values of points, {} alphas and {} sigmas; expected one alpha and one sigma for each "
          "point of {} values",
          points.size(), alpha.size(), sigma.size(), d);
  require(options.labels.empty() || labels_.defined(), "empirical score: labels for data without labels");
  require(options.labels.empty() || static_cast<std::int64_t>(options.labels.size()) == count,
          "empirical score: {} labels for {} points", options.labels.size(), count);
  require(options.excluded.empty() || static_cast<std::int64_t>(options.excluded.size()) == count,
          "empirical score: {} excluded images for {} points", options.excluded.size(), count);
  require(options.neighbours >= 1, "empirical score: {} neighbours asked for", options.neighbours);
  EmpiricalResult result;
  if (count == 0) return result;
  const Device device = this->device();
  const auto output = [&](const Shape& shape, DType dtype) {
    return options.posterior ? Tensor::empty(shape, dtype, device) : Tensor();
  };
  const Tensor x0 = output({count, d}, DType::float32), score = output({count, d}, DType::float32);
  const Tensor neighbours = Tensor::empty({count, options.neighbours}, DType::int64, device);
  const Tensor distances = Tensor::empty({count, options.neighbours}, DType::float64, device);
  const Tensor entropy = output({count}, DType::float64), effective = output({count}, DType::float64),
               trace = output({count}, DType::float64), r_star = output({count}, DType::float64),
               log_sum = output({count}, DType::float64);
  const Tensor z = Tensor::from_host(points, {count, d}, device), a = Tensor::from_host(alpha, {count}, device),
               s = Tensor::from_host(sigma, {count}, device);
  const Tensor point_labels = index_tensor(options.labels, device), excluded = index_tensor(options.excluded, device);
  const ImageExtents extents =
      mirrored_ ? ImageExtents{images_.height, images_.width, images_.channels} : ImageExtents{};
  evaluate_empirical_score(z.stream(), {.data = pixels_.array(),
                                        .centre = centre_.array(),
                                        .squared_norms = squared_norms_.array(),
                                        .labels = point_labels.defined() ? labels_.array() : Array{},
                                        .points = z.array(),
                                        .alpha = a.array(),
                                        .sigma = s.array(),
                                        .point_labels = point_labels.array(),
                                        .excluded = excluded.array(),
                                        .x0 = x0.array(),
                                        .score = score.array(),
                                        .neighbours = neighbours.array(),
                                        .neighbour_distances = distances.array(),
                                        .entropy = entropy.array(),
                                        .effective_count = effective.array(),
                                        .covariance_trace = trace.array(),
                                        .r_star = r_star.array(),
                                        .log_sum = log_sum.array(),
                                        .mirrored = extents});
  result.neighbours_each = options.neighbours;
  result.neighbours = neighbours.to_host_integers();
  result.neighbour_distances = distances.to_host_double();
  for (std::int64_t i = 0; i < count; ++i) {
    const auto first = static_cast<std::size_t>(i * options.neighbours);
    result.nearest.push_back(result.neighbours[first]);
    result.nearest_distance.push_back(result.neighbour_distances[first]);
  }
  if (!options.posterior) return result;
  result.x0 = x0.to_host();
  result.score = score.to_host();
  result.entropy = entropy.to_host_double();
  result.effective_count = effective.to_host_double();
  result.trace_cov = trace.to_host_double();
  result.r_star = r_star.to_host_double();
  result.log_sum = log_sum.to_host_double();
  return result;
}

}  // namespace tweedie
