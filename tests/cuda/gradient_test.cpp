// Gradients of weights and biases in bfloat16: float32 sums, so that they are as near to the double reference, from the
// same operands, as those of float32 operands are.
#include <gtest/gtest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/convolution.h"
#include "autograd/ops/linear.h"
#include "kernels/runtime/random.h"
#include "tests/kernels/tolerances.h"

namespace tweedie {
namespace {

constexpr Device cuda{DeviceKind::cuda, 0}, reference{DeviceKind::reference, 0};

/// Values in (-1, 1) that bfloat16 holds, so that both backends have the same operands.
Tensor tensor(const Shape& shape, std::uint64_t seed, Device device, DType dtype) {
  std::vector<float> values(static_cast<std::size_t>(shape.count()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(2.0 * uniform({.seed = seed}, static_cast<std::uint32_t>(i)) - 1.0);
  const Tensor rounded =
      as_dtype(Tensor::from_host(std::span<const float>(values), shape, {DeviceKind::cpu, 0}), DType::bfloat16);
  return as_dtype(Tensor::from_host(std::span<const float>(rounded.to_host()), shape, device), dtype);
}

using Layer = Tensor (*)(const Tensor& x, const Tensor& weight, const Tensor& bias);
struct LayerCase {
  std::string_view operation;  // that gives the gradient of the weight
  Layer layer;
  Shape x, weight, y;  // of one micro-batch
};

const LayerCase linear_case{
    "matmul",
    [](const Tensor& x, const Tensor& weight, const Tensor& bias) { return linear(x, weight, bias); },
    {300, 33},
    {17, 33},
    {300, 17}};
const LayerCase conv2d_case{"conv2d_filter_gradient",
                            [](const Tensor& x, const Tensor& weight, const Tensor& bias) {
                              return conv2d(x, weight, bias, {1, 1, 1, 1, 1});
                            },
                            {2, 12, 13, 8},
                            {9, 3, 3, 8},
                            {2, 12, 13, 9}};

struct Gradients {
  Tensor weight, bias;
};

/// What `micro_batches` passes, each on data of its own, gather in the parameters' gradients.
Gradients gathered(const LayerCase& layer, int micro_batches, Device device, DType dtype) {
  const DType wide = float_dtype(device);
  Tensor weight = tensor(layer.weight, 1, device, wide), bias = tensor({layer.weight[0]}, 2, device, wide);
  weight.set_requires_grad(true), bias.set_requires_grad(true);
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(micro_batches); ++i)
    layer.layer(tensor(layer.x, 10 + i, device, dtype), weight, bias).backward(tensor(layer.y, 20 + i, device, dtype));
  return {weight.grad(), bias.grad()};
}

void expect_float32_error(std::string_view operation, std::string_view quantity, const Tensor& got,
                          const Tensor& expected) {
  ASSERT_EQ(got.dtype(), DType::float32);
  const std::vector<double> a = got.to_host_double(), b = expected.to_host_double();
  double largest = 0.0, error = 0.0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    largest = std::max(largest, std::abs(b[i]));
    error = std::max(error, std::abs(a[i] - b[i]));
  }
  ASSERT_GT(largest, 0.0);
  const auto& tolerance = testing_tools::tolerance_of(operation, quantity, DType::float32);
  EXPECT_LE(error, testing_tools::allowed_error(tolerance, DType::float32, 0.0, largest, false, 1)) << quantity;
}

class Bfloat16Gradients : public testing::TestWithParam<LayerCase> {};

TEST_P(Bfloat16Gradients, AreFloat32SumsOverOneBatchAndOverSeveral) {
  const LayerCase& layer = GetParam();
  for (const int micro_batches : {1, 3}) {
    const Gradients got = gathered(layer, micro_batches, cuda, DType::bfloat16);
    const Gradients expected = gathered(layer, micro_batches, reference, DType::float64);
    expect_float32_error(layer.operation, "grad_weight", got.weight, expected.weight);
    expect_float32_error("reduce", "y", got.bias, expected.bias);
  }
}

INSTANTIATE_TEST_SUITE_P(Layers, Bfloat16Gradients, testing::Values(linear_case, conv2d_case),
                         [](const auto& info) { return std::string(info.index == 0 ? "linear" : "conv2d"); });

}  // namespace
}  // namespace tweedie
