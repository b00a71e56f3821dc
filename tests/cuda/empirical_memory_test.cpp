#include <gtest/gtest.h>

#include "autograd/tensor.h"
#include "kernels/empirical_score/empirical_score.h"

namespace tweedie {
namespace {

/// What one evaluation takes beside its operands, at its most: `batch` points, `rows` data, 12 columns.
std::int64_t working_bytes(std::int64_t batch, std::int64_t rows, double sigma) {
  const Device cuda{DeviceKind::cuda, 0};
  Stream& stream = default_stream(cuda);
  const auto spread = [&](const Shape& shape) {
    std::vector<float> values(static_cast<std::size_t>(shape.count()));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>((i * 7919) % 1013) / 500.0f - 1.0f;
    return Tensor::from_host(std::span<const float>(values), shape, cuda);
  };
  constexpr std::int64_t d = 12;
  const Tensor data = spread({rows, d}), points = spread({batch, d});
  const Tensor alpha = Tensor::full({batch}, 1.0, cuda), deviation = Tensor::full({batch}, sigma, cuda);
  const Tensor centre = Tensor::empty({d}, DType::float64, cuda), norms = Tensor::empty({rows}, DType::float64, cuda);
  const Tensor x0 = Tensor::empty({batch, d}, DType::float32, cuda);
  prepare_empirical_data(stream, {.data = data.array(), .centre = centre.array(), .squared_norms = norms.array()});
  Allocator& allocator = stream.allocator();
  allocator.reset_peak();
  const std::int64_t before = allocator.statistics().bytes_in_use;
  evaluate_empirical_score(stream, {.data = data.array(),
                                    .centre = centre.array(),
                                    .squared_norms = norms.array(),
                                    .points = points.array(),
                                    .alpha = alpha.array(),
                                    .sigma = deviation.array(),
                                    .x0 = x0.array()});
  return allocator.statistics().peak_bytes - before;
}

// The contract: working memory is that of a tile, whatever the number of points and of data. At sigma 0.05 single data
// have weight, at 3 nearly all have, so that weights are written into the tile.
TEST(CudaEmpiricalScore, WorkingMemoryGrowsNeitherWithTheDataNorWithThePoints) {
  for (const double sigma : {0.05, 3.0}) {
    const std::int64_t one = working_bytes(256, 2048, sigma);
    EXPECT_GT(one, 256 * 2048 * 4);  // the tile
    EXPECT_LT(one, 2 * 256 * 2048 * 4);
    EXPECT_EQ(working_bytes(256, 3 * 2048, sigma), one);
    EXPECT_EQ(working_bytes(3 * 256, 2048, sigma), one);
  }
}

}  // namespace
}  // namespace tweedie
