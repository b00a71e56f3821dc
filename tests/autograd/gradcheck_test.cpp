#include "tests/autograd/gradcheck.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "autograd/ops/activation.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/convolution.h"
#include "autograd/ops/embedding.h"
#include "autograd/ops/linear.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/normalization.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/shape.h"

namespace tweedie {
namespace {

using testing::gradcheck;
using testing::random_tensor;
using Inputs = std::span<const Tensor>;

struct GradCase {
  std::string name;
  std::vector<Tensor> inputs;
  std::function<Tensor(Inputs)> function;
};

/// Positive inputs, away from zero by at least 0.3.
Tensor positive_tensor(const Shape& shape, std::uint32_t stream) {
  auto values = random_tensor(shape, stream).to_host_double();
  for (double& value : values) value = 0.3 + std::abs(value);
  return Tensor::from_host(std::span<const double>(values), shape, {DeviceKind::reference, 0});
}

std::vector<GradCase> grad_cases() {
  std::vector<GradCase> cases;
  std::uint32_t stream = 0;
  const auto normal = [&stream](const Shape& shape) { return random_tensor(shape, ++stream); };
  const auto add_case = [&cases](std::string name, std::vector<Tensor> inputs, std::function<Tensor(Inputs)> function) {
    cases.push_back({std::move(name), std::move(inputs), std::move(function)});
  };
  const Device reference{DeviceKind::reference, 0};

  // Arithmetic, with every kind of broadcasting.
  const std::vector<std::pair<Shape, Shape>> pairs = {
      {Shape{3, 4}, Shape{3, 4}}, {Shape{3, 4}, Shape{4}}, {Shape{3, 4}, Shape{3, 1}}, {Shape{2, 1, 3}, Shape{4, 1}}};
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const auto& [a, b] = pairs[i];
    const std::string suffix = "_" + std::to_string(i);
    add_case("add" + suffix, {normal(a), normal(b)}, [](Inputs x) { return add(x[0], x[1]); });
    add_case("subtract" + suffix, {normal(a), normal(b)}, [](Inputs x) { return subtract(x[0], x[1]); });
    add_case("multiply" + suffix, {normal(a), normal(b)}, [](Inputs x) { return multiply(x[0], x[1]); });
    add_case("divide" + suffix, {normal(a), positive_tensor(b, ++stream)}, [](Inputs x) { return divide(x[0], x[1]); });
  }
  add_case("multiply_with_itself", {normal({5})}, [](Inputs x) { return multiply(x[0], x[0]); });
  add_case("scale", {normal({5})}, [](Inputs x) { return scale(x[0], -1.7, 0.3); });
  using Function = Tensor (*)(const Tensor&);
  const std::vector<std::pair<std::string, Function>> anywhere = {
      {"negate", &negate}, {"exp", &exp},   {"square", &square}, {"tanh", &tanh},           {"sin", &sin},
      {"cos", &cos},       {"silu", &silu}, {"gelu", &gelu},     {"gelu_tanh", &gelu_tanh}, {"softmax", &softmax}};
  for (const auto& [name, function] : anywhere)
    add_case(name, {normal({3, 5})}, [function](Inputs x) { return function(x[0]); });
  const std::vector<std::pair<std::string, Function>> above_zero = {
      {"log", &log}, {"sqrt", &sqrt}, {"reciprocal", &reciprocal}, {"relu", &relu}};
  for (const auto& [name, function] : above_zero)
    add_case(name, {positive_tensor({3, 5}, ++stream)}, [function](Inputs x) { return function(x[0]); });
  add_case("relu_of_both_signs", {positive_tensor({7}, ++stream)},
           [](Inputs x) { return add(relu(x[0]), relu(negate(x[0]))); });
  add_case("dropout", {normal({3, 8})}, [reference](Inputs x) {
    const std::vector<std::int64_t> ids = {4, 9, 2};
    return dropout(x[0], 0.3, Tensor::from_host(std::span<const std::int64_t>(ids), {3}, reference), 5, 1);
  });

  // Reductions and shapes.
  add_case("sum_middle", {normal({2, 3, 4})}, [](Inputs x) { return sum(x[0], 1, 2); });
  add_case("mean_leading", {normal({2, 3, 4})}, [](Inputs x) { return mean(x[0], 0, 2); });
  add_case("sum_all", {normal({2, 3})}, [](Inputs x) { return sum(square(x[0])); });
  add_case("reshape", {normal({2, 6})}, [](Inputs x) { return square(reshape(x[0], {3, -1})); });
  add_case("permute", {normal({2, 3, 4, 1})}, [](Inputs x) { return permute(x[0], {2, 0, 3, 1}); });
  add_case("concatenate", {normal({2, 3, 2}), normal({2, 1, 2}), normal({2, 2, 2})},
           [](Inputs x) { return concatenate(x, 1); });
  add_case("concatenate_with_itself", {normal({2, 3})}, [](Inputs x) { return concatenate({x[0], x[0]}, -1); });
  add_case("slice", {normal({3, 5, 2})}, [](Inputs x) { return add(slice(x[0], 1, 1, 3), slice(x[0], 1, 2, 3)); });
  add_case("pad", {normal({2, 3, 2})}, [](Inputs x) { return square(pad(x[0], 1, 1, 2)); });
  add_case("upsample_nearest", {normal({2, 3, 2, 3})}, [](Inputs x) { return upsample_nearest(x[0], 2); });
  add_case("average_pool", {normal({2, 4, 5, 3})}, [](Inputs x) { return average_pool(x[0], 2); });
  add_case("channels_first_and_last", {normal({2, 3, 4, 2})},
           [](Inputs x) { return to_channels_last(square(to_channels_first(x[0]))); });

  // Products.
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      const std::string suffix = std::string(ta ? "_ta" : "") + (tb ? "_tb" : "");
      const Shape a2 = ta ? Shape{4, 3} : Shape{3, 4}, b2 = tb ? Shape{5, 4} : Shape{4, 5};
      const Shape a3 = ta ? Shape{2, 4, 3} : Shape{2, 3, 4}, b3 = tb ? Shape{2, 5, 4} : Shape{2, 4, 5};
      const auto product = [ta, tb](Inputs x) { return matmul(x[0], x[1], ta, tb); };
      add_case("matmul" + suffix, {normal(a2), normal(b2)}, product);
      add_case("matmul_batched" + suffix, {normal(a3), normal(b3)}, product);
      add_case("matmul_shared" + suffix, {normal(a3), normal(b2)}, product);
    }
  add_case("linear", {normal({2, 3, 4}), normal({5, 4}), normal({5})},
           [](Inputs x) { return linear(x[0], x[1], x[2]); });
  add_case("linear_residual", {normal({2, 3, 4}), normal({4, 4})},
           [](Inputs x) { return linear(silu(x[0]), x[1], {}, x[0]); });
  add_case("activated_linear", {normal({3, 4}), normal({5, 4}), normal({5})},
           [](Inputs x) { return activated_linear(x[0], x[1], x[2], ActivationKind::gelu_tanh); });
  add_case("linear_without_bias", {normal({3, 4}), normal({5, 4})}, [](Inputs x) { return linear(x[0], x[1], {}); });

  // Convolutions: kernel, stride and padding.
  const auto convolution = [&](std::string name, const Shape& x, const Shape& w, Conv2dGeometry geometry) {
    add_case(std::move(name), {normal(x), normal(w), normal({w[0]})},
             [geometry](Inputs in) { return conv2d(in[0], in[1], in[2], geometry); });
  };
  convolution("conv2d_3x3", {2, 4, 5, 3}, {2, 3, 3, 3}, {1, 1, 1, 1, 1});
  convolution("conv2d_1x1", {2, 3, 2, 3}, {4, 1, 1, 3}, {});
  convolution("conv2d_stride2", {1, 6, 5, 2}, {3, 3, 3, 2}, {2, 1, 1, 1, 1});
  convolution("conv2d_stride2_asymmetric", {1, 4, 4, 2}, {3, 3, 3, 2}, {2, 0, 0, 1, 1});
  convolution("conv2d_from_one_channel", {1, 4, 4, 1}, {3, 3, 3, 1}, {1, 1, 1, 1, 1});
  add_case("conv2d_residual", {normal({1, 3, 3, 2}), normal({2, 3, 3, 2}), normal({1, 3, 3, 2})}, [](Inputs x) {
    return conv2d(x[0], x[1], {}, {1, 1, 1, 1, 1}, x[2]);
  });
  add_case("conv2d_residual_of_itself", {normal({1, 3, 3, 2}), normal({2, 3, 3, 2})}, [](Inputs x) {
    return conv2d(silu(x[0]), x[1], {}, {1, 1, 1, 1, 1}, x[0]);
  });

  // Normalisations, with each optional operand.
  const auto grouped = [](std::int64_t groups, bool silu) {
    GroupNormOptions options;
    options.groups = groups;
    options.silu = silu;
    return options;
  };
  for (const bool with_silu : {false, true})
    for (const std::int64_t groups : {1, 2, 6})
      add_case(fmt::format("group_norm_g{}{}", groups, with_silu ? "_silu" : ""),
               {normal({2, 3, 2, 6}), normal({6}), normal({6})},
               [=](Inputs x) { return group_norm(x[0], x[1], x[2], grouped(groups, with_silu)); });
  add_case("group_norm_everything",
           {normal({2, 5, 6}), normal({6}), normal({6}), normal({2, 6}), normal({2, 6}), normal({2, 6})},
           [=](Inputs x) {
             GroupNormOptions options = grouped(3, true);
             options.input_shift = x[3];
             options.scale = x[4];
             options.shift = x[5];
             return group_norm(x[0], x[1], x[2], options);
           });
  add_case("layer_norm", {normal({3, 5}), normal({5}), normal({5})},
           [](Inputs x) { return layer_norm(x[0], x[1], x[2]); });
  add_case("layer_norm_modulated", {normal({2, 3, 5}), normal({2, 5}), normal({2, 5})}, [](Inputs x) {
    LayerNormOptions options;
    options.scale = x[1];
    options.shift = x[2];
    return layer_norm(x[0], {}, {}, options);
  });
  add_case("attention", {normal({2, 3, 2, 4}), normal({2, 5, 2, 4}), normal({2, 5, 2, 4})},
           [](Inputs x) { return attention(x[0], x[1], x[2], 0.5); });
  add_case("attention_of_itself", {normal({1, 4, 1, 3})}, [](Inputs x) { return attention(x[0], x[0], x[0], 0.6); });

  add_case("embedding", {normal({4, 3})}, [reference](Inputs x) {
    const std::vector<std::int64_t> ids = {2, 0, 2, 1, 3};
    return embedding(x[0], Tensor::from_host(std::span<const std::int64_t>(ids), {5}, reference));
  });
  const Tensor target = normal({3, 2, 2}), weight = positive_tensor({3}, ++stream);
  add_case("squared_error", {normal({3, 2, 2})}, [=](Inputs x) { return squared_error(x[0], target, weight); });
  add_case("squared_error_unweighted", {normal({3, 2, 2})}, [=](Inputs x) { return squared_error(x[0], target); });
  return cases;
}

void PrintTo(const GradCase& grad_case, std::ostream* out) {
  *out << grad_case.name;
}

class Gradcheck : public ::testing::TestWithParam<GradCase> {};

TEST_P(Gradcheck, AgreesWithDifferences) {
  EXPECT_EQ(gradcheck(GetParam().function, GetParam().inputs), "");
}

INSTANTIATE_TEST_SUITE_P(Operations, Gradcheck, ::testing::ValuesIn(grad_cases()),
                         [](const auto& info) { return info.param.name; });

// The checker itself must be able to fail.
Tensor with_backward(const Tensor& x, double factor) {
  return record("planted", scale(x.detach(), 2.0), {x},
                [factor](Backward& backward) { backward.give(0, scale(backward.grad_output(), factor)); });
}

TEST(GradcheckItself, AcceptsTheRightGradient) {
  const std::vector<Tensor> inputs = {random_tensor({4}, 1)};
  EXPECT_EQ(gradcheck([](Inputs x) { return with_backward(x[0], 2.0); }, inputs), "");
}

TEST(GradcheckItself, FailsOnAWrongGradient) {
  const std::vector<Tensor> inputs = {random_tensor({4}, 1)};
  EXPECT_NE(gradcheck([](Inputs x) { return with_backward(x[0], 2.0001); }, inputs), "");
}

TEST(GradcheckItself, FailsOnNaN) {
  const std::vector<Tensor> inputs = {random_tensor({4}, 1)};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(gradcheck([nan](Inputs x) { return with_backward(x[0], nan); }, inputs), "");
  EXPECT_NE(gradcheck([](Inputs x) { return log(scale(square(x[0]), -1.0)); }, inputs), "");
}

TEST(GradcheckItself, FailsWhereEverythingIsZero) {
  const std::vector<Tensor> inputs = {random_tensor({4}, 1)};
  EXPECT_NE(gradcheck([](Inputs x) { return scale(x[0], 0.0); }, inputs), "");
}

}  // namespace
}  // namespace tweedie
