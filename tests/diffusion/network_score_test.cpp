#include "diffusion/network_score.h"

#include <gtest/gtest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "diffusion/per_sample.h"

namespace tweedie {
namespace {

/// F(x, time) = weight x^2 + time / 100: enough to see what enters and what comes out.
class SquareNetwork final : public Network {
 public:
  explicit SquareNetwork(Device device, std::int64_t classes = 0) : Network(device), classes_(classes) {
    weight_ = register_parameter("weight", Tensor::full({1}, 0.5, device));
  }
  Tensor evaluate(const Tensor& x, const Tensor& timesteps, const Tensor&, ForwardContext& context) override {
    training = context.training;
    return add(multiply(weight_, square(x)), reshape(scale(timesteps, 0.01), {-1, 1, 1, 1}));
  }
  std::string config() const override { return "{}"; }
  std::int64_t label_classes() const override { return classes_; }
  std::int64_t in_channels() const override { return 2; }
  std::int64_t out_channels() const override { return 2; }
  double flops(const Shape& x) const override { return 3.0 * static_cast<double>(x.count()); }

  bool training = true;

 private:
  std::int64_t classes_;
  Tensor weight_;
};

const std::vector<Parameterisation> parameterisations = {
    Parameterisation::plain(View::eps), Parameterisation::plain(View::x0), Parameterisation::plain(View::v),
    Parameterisation::plain(View::score, TimeInput::sigma), Parameterisation::edm(0.5)};

TEST(NetworkScore, PredictsEveryViewFromEveryOutput) {
  const std::vector<double> t = {0.1, 0.45, 0.9};
  std::vector<float> points(3 * 2 * 1 * 2);
  for (std::size_t i = 0; i < points.size(); ++i) points[i] = 0.3F * static_cast<float>(i) - 1.5F;
  for (const Process& process : {Process::linear(), Process::vp_song()}) {
    for (const Parameterisation& parameterisation : parameterisations) {
      auto network = std::make_shared<SquareNetwork>(Device{});
      NetworkScore model(network, process, parameterisation);
      const Tensor z = Tensor::from_host(std::span<const float>(points), {3, 2, 1, 2}, {});
      for (View view : {View::eps, View::x0, View::v, View::score}) {
        const std::vector<float> values = model.predict(z, t, view).to_host();
        EXPECT_FALSE(network->training);
        for (std::size_t i = 0; i < points.size(); ++i) {
          const double level = t[i / 4];
          const double input = input_scale(process, level, parameterisation) * points[i];
          const double output = 0.5 * input * input + 0.01 * time_input(process, level, parameterisation.time_input);
          const ViewConversion c = conversion(process, level, parameterisation, view);
          const double expected = c.p * output + c.q * points[i];
          const double scale = std::abs(c.p * output) + std::abs(c.q * points[i]);
          EXPECT_NEAR(values[i], expected, 5e-7 * scale) << parameterisation.json() << " to " << name_of(view);
        }
      }
    }
  }
}

TEST(NetworkScore, GradientsReachParametersAndPoints) {
  const Device device{};
  auto network = std::make_shared<SquareNetwork>(device);
  NetworkScore model(network, Process::linear(), Parameterisation::plain(View::eps));
  const std::vector<double> t = {0.2, 0.6};
  const std::vector<float> points = {1.0F, -2.0F, 0.5F, 3.0F};
  Tensor z = Tensor::from_host(std::span<const float>(points), {2, 1, 1, 2}, device);
  z.set_requires_grad(true);
  model.predict(z, t, View::x0).backward(Tensor::full({2, 1, 1, 2}, 1.0, device));
  // x0 = (z - t F)/(1 - t) with F = z^2/2 + 10 t.
  const std::vector<float> gradient = z.grad().to_host();
  double weight_gradient = 0.0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double level = t[i / 2];
    EXPECT_NEAR(gradient[i], (1.0 - level * points[i]) / (1.0 - level), 1e-5);
    weight_gradient -= level / (1.0 - level) * points[i] * points[i];
  }
  EXPECT_NEAR(network->parameters()[0].value.grad().item(), weight_gradient, 1e-5);
}

TEST(NetworkScore, TheEndsAnswerWhereTheyCan) {
  NetworkScore model(std::make_shared<SquareNetwork>(Device{}), Process::linear(), Parameterisation::plain(View::v));
  const Tensor z = Tensor::full({1, 1, 1, 2}, 0.7, {});
  EXPECT_EQ(model.predict(z, std::vector{0.0}, View::x0).to_host(), z.to_host());  // the identity
  EXPECT_NO_THROW(model.predict(z, std::vector{1.0}, View::x0));
  EXPECT_THROW(model.predict(z, std::vector{0.0}, View::score), Error);
}

TEST(NetworkScore, BadInput) {
  NetworkScore model(std::make_shared<SquareNetwork>(Device{}), Process::linear(), Parameterisation::plain(View::v));
  const std::vector<double> t = {0.5};
  EXPECT_THROW(model.predict(Tensor::zeros({2, 1, 1, 2}, {}), t, View::v), Error);
  EXPECT_THROW(model.predict(Tensor::zeros({1, 1, 1, 3}, {}), t, View::v), Error);
  EXPECT_THROW(model.predict(Tensor::zeros({1, 2}, {}), t, View::v), Error);
  EXPECT_THROW(model.predict({}, t, View::v), Error);
  const std::vector<std::int64_t> label = {0};
  const Tensor labels = Tensor::from_host(std::span<const std::int64_t>(label), {1}, {});
  EXPECT_THROW(model.predict(Tensor::zeros({1, 1, 1, 2}, {}), t, View::v, labels), Error);
  NetworkScore conditional(std::make_shared<SquareNetwork>(Device{}, 3), Process::linear(),
                           Parameterisation::plain(View::v));
  EXPECT_THROW(conditional.predict(Tensor::zeros({1, 1, 1, 2}, {}), t, View::v), Error);
  EXPECT_NO_THROW(conditional.predict(Tensor::zeros({1, 1, 1, 2}, {}), t, View::v, labels));
  EXPECT_THROW(NetworkScore(nullptr, Process::linear(), Parameterisation::plain(View::v)), Error);
}

TEST(PerSample, CombinesRowsIndependently) {
  const std::vector<float> a = {1.0F, 2.0F, 3.0F, 4.0F}, b = {10.0F, 20.0F, 30.0F, 40.0F};
  const Tensor x = Tensor::from_host(std::span<const float>(a), {2, 2}, {});
  const Tensor y = Tensor::from_host(std::span<const float>(b), {2, 2}, {});
  const std::vector<double> p = {0.5, 0.0}, q = {1.0, -1.0}, zero = {0.0, 0.0};
  EXPECT_EQ(combine({{p, x}, {q, y}}).to_host(), (std::vector<float>{10.5F, 21.0F, -30.0F, -40.0F}));
  EXPECT_EQ(combine({{zero, x}, {zero, y}}).to_host(), (std::vector<float>(4, 0.0F)));
}

}  // namespace
}  // namespace tweedie
