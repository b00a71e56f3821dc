#include <gtest/gtest.h>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/linear.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/shape.h"
#include "autograd/tensor.h"

namespace tweedie {
namespace {

constexpr Device cpu{DeviceKind::cpu, 0};

Tensor leaf(std::initializer_list<float> values) {
  Tensor tensor = Tensor::from_host(std::span<const float>(values.begin(), values.size()),
                                    {static_cast<std::int64_t>(values.size())}, cpu);
  tensor.set_requires_grad(true);
  return tensor;
}

std::vector<float> list(std::initializer_list<float> values) {
  return values;
}

TEST(Tape, GradientsOfLeavesAccumulateUntilCleared) {
  const Tensor x = leaf({1.0f, 2.0f});
  sum(square(x)).backward();
  EXPECT_EQ(x.grad().to_host(), list({2.0f, 4.0f}));
  sum(square(x)).backward();
  EXPECT_EQ(x.grad().to_host(), list({4.0f, 8.0f}));
  x.clear_grad();
  EXPECT_FALSE(x.grad().defined());
}

TEST(Tape, SharedIntermediateGathersAllItsUses) {
  const Tensor x = leaf({3.0f});
  const Tensor y = square(x);
  sum(add(add(y, y), multiply(y, x))).backward();  // 2 x^2 + x^3
  EXPECT_EQ(x.grad().to_host(), list({4.0f * 3.0f + 3.0f * 9.0f}));
}

TEST(Tape, ResidualGradientsDoNotAlias) {
  const Tensor x = leaf({1.0f, -2.0f});
  const Tensor h = scale(x, 2.0);
  // Both branches of the first add start from one gradient buffer, which the second use of h then adds to.
  sum(add(add(h, scale(h, 3.0)), h)).backward();
  EXPECT_EQ(x.grad().to_host(), list({10.0f, 10.0f}));
}

TEST(Tape, DetachAndNoGradStopIt) {
  const Tensor x = leaf({2.0f});
  EXPECT_FALSE(square(x.detach()).requires_grad());
  {
    const NoGrad guard;
    EXPECT_FALSE(square(x).requires_grad());
  }
  EXPECT_TRUE(square(x).requires_grad());
}

TEST(Tape, AnActivatedLinearIsOneOperationWhereNothingIsRecorded) {
  const Tensor x = reshape(leaf({1.0f, -2.0f, 0.5f, 3.0f}), {2, 2}), weight = reshape(leaf({0.5f, -1.0f}), {1, 2});
  const Tensor bias = leaf({0.25f}), composed = activated_linear(x, weight, bias, ActivationKind::silu);
  EXPECT_TRUE(composed.requires_grad());
  const NoGrad guard;
  const Work before = work_done();
  const Tensor fused = activated_linear(x, weight, bias, ActivationKind::silu);
  EXPECT_FALSE(fused.requires_grad());
  EXPECT_EQ(fused.to_host(), composed.to_host());
  EXPECT_EQ(work_done().bytes - before.bytes, 4.0 * (4 + 2 + 1 + 2));  // no pass over the result for the activation
}

TEST(Tape, SecondBackwardIsANamedError) {
  const Tensor x = leaf({2.0f});
  const Tensor y = sum(square(x));
  y.backward();
  EXPECT_THROW(y.backward(), Error);
  EXPECT_THROW(sum(x.detach()).backward(), Error);
  EXPECT_THROW(square(leaf({1.0f, 2.0f})).backward(), Error);
}

TEST(Tape, BackwardFreesActivationsAsItPasses) {
  Tensor x = Tensor::full({1 << 16}, 1.0, cpu);
  x.set_requires_grad(true);
  const auto in_use = [] { return host_allocator().statistics().bytes_in_use; };
  const auto before = in_use();
  Tensor y = x;
  for (int i = 0; i < 8; ++i) y = square(y);
  const Tensor total = sum(y);
  y = Tensor();
  EXPECT_GE(in_use() - before, 8 * (1 << 18));
  total.backward();
  EXPECT_LE(in_use() - before, 2 * (1 << 18));  // the gradient of x stays
}

TEST(Tape, LongChainsDoNotOverflowTheStack) {
  const Tensor x = leaf({1.0f});
  Tensor y = x;
  for (int i = 0; i < 200000; ++i) y = scale(y, 1.0);
  const Tensor total = sum(y);
  y = Tensor();
  total.backward();
  EXPECT_EQ(x.grad().to_host(), list({1.0f}));
  Tensor unused = x;
  for (int i = 0; i < 200000; ++i) unused = scale(unused, 1.0);
}

TEST(Tensor, ErrorsNameShapes) {
  const Tensor a = Tensor::zeros({2, 3}, cpu), b = Tensor::zeros({4, 3}, cpu);
  try {
    add(a, b);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("(2, 3)"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("(4, 3)"), std::string::npos) << error.what();
  }
  EXPECT_THROW(reshape(a, {4, -1}), Error);
  EXPECT_THROW(linear(a, b.detach(), Tensor::zeros({5}, cpu)), Error);
  EXPECT_THROW(slice(a, 1, 2, 2), Error);
}

TEST(Tensor, ToReferenceAndBackKeepsValues) {
  const Tensor a = leaf({0.1f, -3.5f});
  const Tensor wide = a.to({DeviceKind::reference, 0});
  EXPECT_EQ(wide.dtype(), DType::float64);
  EXPECT_EQ(wide.to(cpu).to_host(), a.to_host());
}

TEST(Tensor, ConversionsRoundValuesAndCarryGradientsBack) {
  const float above = 1.0f + 0x1p-8f;  // halfway between two bfloat16 numbers: to the even one, 1
  const Tensor x = leaf({above, 3.0f, -2.5f});
  const Tensor half = as_dtype(x, DType::bfloat16);
  EXPECT_EQ(half.dtype(), DType::bfloat16);
  EXPECT_EQ(half.to_host(), list({1.0f, 3.0f, -2.5f}));
  sum(multiply(as_dtype(half, DType::float32), leaf({0.5f, 1.0f + 0x1p-9f, 4.0f}).detach())).backward();
  EXPECT_EQ(x.grad().dtype(), DType::float32);
  EXPECT_EQ(x.grad().to_host(), list({0.5f, 1.0f, 4.0f}));  // rounded on the way
  EXPECT_EQ(as_dtype(x, DType::float32).array().data, x.array().data);
}

}  // namespace
}  // namespace tweedie
