#include <cmath>
#include <vector>

#include "kernels/empirical_score/empirical_data.cuh"
#include "kernels/runtime/cuda.h"

namespace tweedie {
namespace {

using empirical_cuda::DataSet;

constexpr int row_parts = 32;  // partial sums of a column, added in order

__global__ void __launch_bounds__(block_threads) column_sums_kernel(const DataSet data, double* parts) {
  const std::int64_t rows = (data.rows + row_parts - 1) / row_parts;
  for (std::int64_t i = grid_thread(); i < static_cast<std::int64_t>(row_parts) * data.dimension; i += grid_threads()) {
    const int part = static_cast<int>(i / data.dimension), column = static_cast<int>(i % data.dimension);
    double sum = 0.0;
    for (std::int64_t row = part * rows; row < min(data.rows, (part + 1) * rows); ++row)
      sum += static_cast<double>(data.stored(row, column));
    parts[i] = sum;
  }
}

__device__ double column_mean(const DataSet& data, const double* parts, int column) {
  double sum = 0.0;
  for (int part = 0; part < row_parts; ++part) sum += parts[part * data.dimension + column];
  return sum / static_cast<double>(data.rows);
}

__global__ void __launch_bounds__(block_threads)
    centre_kernel(const DataSet data, const double* parts, double* centre) {
  for (std::int64_t i = grid_thread(); i < data.dimension; i += grid_threads()) {
    const int column = static_cast<int>(i);
    double value = column_mean(data, parts, column);
    if (data.copies == 2) value = 0.5 * (value + column_mean(data, parts, data.mirrored(column)));
    // v - centre of a byte v has at most 14 bits then: exact in float32.
    centre[i] = data.bytes != nullptr ? round(64.0 * value) / 64.0 : static_cast<double>(static_cast<float>(value));
  }
}

/// A warp a row.
__global__ void __launch_bounds__(block_threads) squared_norms_kernel(const DataSet data, double* norms) {
  const int lane = threadIdx.x % 32;
  for (std::int64_t row = grid_thread() / 32; row < data.rows; row += grid_threads() / 32) {
    double sum = 0.0;
    for (int column = lane; column < data.dimension; column += 32) {
      const double difference = static_cast<double>(data.stored(row, column)) - data.centre[column];
      sum = fma(difference, difference, sum);
    }
    sum = warp_sum(sum);
    if (lane == 0) norms[row] = data.unit * data.unit * sum;
  }
}

void prepare_cuda(Stream& stream, const PrepareEmpiricalData& arguments) {
  constexpr std::string_view name = "prepare_empirical_data";
  require(arguments.data.dtype != DType::float64, "{}: data is float64, expected uint8 or float32", name);
  const DataSet data =
      empirical_cuda::data_set_of(arguments.data, arguments.centre, arguments.squared_norms, arguments.mirrored);
  const std::int64_t sums = static_cast<std::int64_t>(row_parts) * data.dimension;
  const Scratch parts(stream, static_cast<std::size_t>(sums) * sizeof(double));
  const Shape& shape = arguments.data.shape;
  launch(stream, {name, shape, blocks_for(stream, sums), block_threads}, &column_sums_kernel, data, parts.as<double>());
  launch(stream, {name, shape, blocks_for(stream, data.dimension), block_threads}, &centre_kernel, data,
         parts.as<double>(), arguments.centre.as<double>());
  launch(stream, {name, shape, blocks_for(stream, data.rows * 32), block_threads}, &squared_norms_kernel, data,
         arguments.squared_norms.as<double>());
  std::vector<double> centre(static_cast<std::size_t>(data.dimension));
  stream.copy_to_host(centre.data(), arguments.centre.data, centre.size() * sizeof(double));
  for (std::size_t j = 0; j < centre.size(); ++j)
    require(std::isfinite(centre[j]), "{}: column {} of the data holds a value that is not finite", name, j);
}

const bool registered = prepare_empirical_data.implement(DeviceKind::cuda, &prepare_cuda);

}  // namespace
}  // namespace tweedie
