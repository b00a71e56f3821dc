#include "kernels/empirical_score/empirical_score.h"

#include "kernels/runtime/checks.h"

namespace tweedie {
namespace {

constexpr std::string_view prepare_name = "prepare_empirical_data";
constexpr std::string_view evaluate_name = "evaluate_empirical_score";

void require_data(std::string_view operation, const Array& data, const ImageExtents& mirrored) {
  require_rank(operation, "data", data, 2);
  require(data.dtype == DType::uint8 || data.dtype == DType::float32 || data.dtype == DType::float64,
          "{}: data is {}, expected uint8 or a floating type", operation, name_of(data.dtype));
  require(data.shape[0] > 0 && data.shape[1] > 0, "{}: data has shape {}, expected at least one row and one column",
          operation, data.shape);
  const bool plain = mirrored.height == 0 && mirrored.width == 0 && mirrored.channels == 0;
  require(plain || (mirrored && mirrored.count() == data.shape[1]),
          "{}: mirrored images of {} x {} x {} do not make rows of {} values", operation, mirrored.height,
          mirrored.width, mirrored.channels, data.shape[1]);
}

void require_prepared(std::string_view operation, const Array& data, const Array& centre, const Array& squared_norms) {
  require_shape(operation, "centre", centre, {data.shape[1]});
  require_dtype(operation, "centre", centre, DType::float64);
  require_shape(operation, "squared_norms", squared_norms, {data.shape[0]});
  require_dtype(operation, "squared_norms", squared_norms, DType::float64);
}

void require_real_input(std::string_view operand, const Array& array, const Shape& expected) {
  require_shape(evaluate_name, operand, array, expected);
  require(array.dtype == DType::float32 || array.dtype == DType::float64, "{}: {} is {}, expected float32 or float64",
          evaluate_name, operand, name_of(array.dtype));
}

void require_real_output(std::string_view operand, const Array& array, const Shape& expected) {
  if (array) require_real_input(operand, array, expected);
}

void require_indices(std::string_view operand, const Array& array, const Shape& expected) {
  if (!array) return;
  require_shape(evaluate_name, operand, array, expected);
  require_dtype(evaluate_name, operand, array, DType::int64);
}

}  // namespace

void validate(const PrepareEmpiricalData& arguments) {
  require_data(prepare_name, arguments.data, arguments.mirrored);
  require_prepared(prepare_name, arguments.data, arguments.centre, arguments.squared_norms);
}

double flops(const PrepareEmpiricalData& arguments) {
  return 4.0 * static_cast<double>(arguments.data.count());
}

double bytes_moved(const PrepareEmpiricalData& arguments) {
  return 2.0 * bytes_of(arguments.data) + bytes_of(arguments.centre) + bytes_of(arguments.squared_norms);
}

void validate(const EvaluateEmpiricalScore& arguments) {
  require_data(evaluate_name, arguments.data, arguments.mirrored);
  require_prepared(evaluate_name, arguments.data, arguments.centre, arguments.squared_norms);
  const std::int64_t rows = arguments.data.shape[0], dimension = arguments.data.shape[1];
  require_rank(evaluate_name, "points", arguments.points, 2);
  const std::int64_t batch = arguments.points.shape[0];
  require_real_input("points", arguments.points, {batch, dimension});
  require_real_input("alpha", arguments.alpha, {batch});
  require_real_input("sigma", arguments.sigma, {batch});
  require(static_cast<bool>(arguments.labels) == static_cast<bool>(arguments.point_labels),
          "{}: labels and point_labels go together", evaluate_name);
  require_indices("labels", arguments.labels, {rows});
  require_indices("point_labels", arguments.point_labels, {batch});
  require_indices("excluded", arguments.excluded, {batch});
  require_real_output("x0", arguments.x0, {batch, dimension});
  require_real_output("score", arguments.score, {batch, dimension});
  if (arguments.neighbours || arguments.neighbour_distances) {
    const Array& given = arguments.neighbours ? arguments.neighbours : arguments.neighbour_distances;
    require_rank(evaluate_name, "neighbours", given, 2);
    const std::int64_t count = given.shape[1];
    require(count > 0, "{}: neighbours has shape {}, expected at least one column", evaluate_name, given.shape);
    require_indices("neighbours", arguments.neighbours, {batch, count});
    require_real_output("neighbour_distances", arguments.neighbour_distances, {batch, count});
  }
  require_real_output("entropy", arguments.entropy, {batch});
  require_real_output("effective_count", arguments.effective_count, {batch});
  require_real_output("covariance_trace", arguments.covariance_trace, {batch});
  require_real_output("r_star", arguments.r_star, {batch});
  require_indices("r_star_index", arguments.r_star_index, {batch});
  require_real_output("log_sum", arguments.log_sum, {batch});
}

double flops(const EvaluateEmpiricalScore& arguments) {
  const double copies = arguments.mirrored ? 2.0 : 1.0;
  return 4.0 * copies * static_cast<double>(arguments.points.shape[0]) * static_cast<double>(arguments.data.count());
}

double bytes_moved(const EvaluateEmpiricalScore& arguments) {
  double bytes = 0.0;
  for (const Array* array :
       {&arguments.data, &arguments.centre, &arguments.squared_norms, &arguments.labels, &arguments.points,
        &arguments.alpha, &arguments.sigma, &arguments.point_labels, &arguments.excluded, &arguments.x0,
        &arguments.score, &arguments.neighbours, &arguments.neighbour_distances, &arguments.entropy,
        &arguments.effective_count, &arguments.covariance_trace, &arguments.r_star, &arguments.r_star_index,
        &arguments.log_sum})
    bytes += bytes_of(*array);
  return bytes;
}

}  // namespace tweedie
