// The encoder: its gradient, its training, its features, and representation alignment in a trainer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "autograd/ops/reduction.h"
#include "diffusion/alignment.h"
#include "diffusion/encoder_training.h"
#include "diffusion/feature_space.h"
#include "diffusion/frechet.h"
#include "diffusion/trainer.h"
#include "nn/dit.h"
#include "nn/unet.h"
#include "tests/nn/io_support.h"

namespace tweedie {
namespace {

using io::testing::message_of;
using io::testing::TemporaryFolder;
using ::testing::HasSubstr;

/// Pictures whose class is which half is bright.
std::shared_ptr<const DeviceImages> halves(std::int64_t count) {
  std::vector<std::uint8_t> pixels;
  auto images = std::make_shared<DeviceImages>();
  for (std::int64_t i = 0; i < count; ++i) {
    images->labels.push_back(i % 2);
    for (std::int64_t p = 0; p < 64; ++p) {
      const bool bright = (p % 8 < 4) == (i % 2 == 0);
      const auto noise =
          uniform_integer({.seed = 8}, static_cast<std::uint32_t>(i), 100, static_cast<std::uint32_t>(p));
      pixels.push_back(static_cast<std::uint8_t>((bright ? 120 : 60) + noise));
    }
  }
  images->pixels = Tensor::from_host(std::span<const std::uint8_t>(pixels), {count, 64}, Device{});
  images->height = images->width = 8;
  images->channels = 1;
  images->label_classes = 2;
  return images;
}

std::shared_ptr<ConvEncoder> small_encoder(Device device = {}) {
  return std::make_shared<ConvEncoder>(
      ConvEncoderConfig{.height = 8, .width = 8, .channels = 1, .base_channels = 8, .classes = 2}, device, 3);
}

TEST(CrossEntropy, IsTheFormulaWithItsGradientAndDoesNotOverflow) {
  const Device device{DeviceKind::reference, 0};
  const std::vector<double> values = {1.0, -2.0, 0.5, 2000.0, 0.0, -1000.0};
  Tensor logits = Tensor::from_host(std::span<const double>(values), {2, 3}, device);
  logits.set_requires_grad(true);
  const std::vector<std::int64_t> labels = {2, 1};
  const Tensor loss = cross_entropy(logits, labels);
  const double normaliser = std::exp(1.0) + std::exp(-2.0) + std::exp(0.5);
  EXPECT_NEAR(loss.to_host_double()[0], std::log(normaliser) - 0.5, 1e-12);
  EXPECT_NEAR(loss.to_host_double()[1], 2000.0, 1e-9);
  sum(loss).backward();
  const std::vector<double> gradient = logits.grad().to_host_double();
  EXPECT_NEAR(gradient[0], std::exp(1.0) / normaliser, 1e-12);
  EXPECT_NEAR(gradient[2], std::exp(0.5) / normaliser - 1.0, 1e-12);
  EXPECT_NEAR(gradient[3], 1.0, 1e-12);
  EXPECT_NEAR(gradient[4], -1.0, 1e-12);
  EXPECT_THAT(message_of([&] { cross_entropy(logits, std::vector<std::int64_t>{0, 3}); }), HasSubstr("label 3"));
}

TEST(Encoder, LearnsWhatItsFeaturesThenShow) {
  const auto images = halves(64), unseen = halves(128);
  const auto encoder = small_encoder();
  EXPECT_LT(classification_accuracy(*encoder, *unseen), 0.9);
  EncoderTrainingOptions options{.steps = 60, .batch = 16, .seed = 1};
  options.optimizer.learning_rate.base = 1e-2;
  train_encoder(*encoder, *images, options);
  EXPECT_EQ(classification_accuracy(*encoder, *unseen), 1.0);

  const TemporaryFolder folder;
  save_encoder(folder.path(), *encoder);
  const std::shared_ptr<const ConvEncoder> loaded = load_encoder(folder.path());
  const EncoderFeatures space(loaded, "halves");
  EXPECT_EQ(space.dimension(), 32);
  std::vector<float> pixels;
  for (const float value : images->pixels.to_host()) pixels.push_back(value / 127.5F - 1.0F);
  const std::vector<float> features = space.features(pixels);
  ASSERT_EQ(features.size(), 64U * 32U);
  const NoGrad guard;
  const Tensor x = Tensor::from_host(std::span<const float>(pixels), {64, 8, 8, 1}, Device{});
  const std::vector<float> expected = mean(encoder->patches(x), 1, 3).to_host();
  for (std::size_t i = 0; i < features.size(); ++i) EXPECT_NEAR(features[i], expected[i], 1e-5);
  // A distance in this space sees the classes: half against half is far, mixed against mixed near.
  std::vector<float> even, odd, first(features.begin(), features.begin() + 32 * 32),
      second(features.begin() + 32 * 32, features.end());
  for (std::size_t i = 0; i < 64; ++i)
    (i % 2 == 0 ? even : odd)
        .insert((i % 2 == 0 ? even : odd).end(), features.begin() + static_cast<std::ptrdiff_t>(32 * i),
                features.begin() + static_cast<std::ptrdiff_t>(32 * i + 32));
  const auto frechet = [](const std::vector<float>& a, const std::vector<float>& b) {
    return frechet_distance(feature_moments(a, 32), feature_moments(b, 32));
  };
  EXPECT_GT(frechet(even, odd), 10.0 * frechet(first, second));
}

std::unique_ptr<NetworkScore> transformer() {
  return std::make_unique<NetworkScore>(std::make_shared<DiT>(DiTConfig::preset("dit-xxs/2", 8, 1), Device{}, 2),
                                        Process::linear(), Parameterisation::plain(View::v));
}

TEST(Alignment, IsMinusTheMeanCosineOfTheProjection) {
  const auto model = transformer();
  const auto encoder = small_encoder();
  const RepresentationAlignment alignment(encoder, model->network(),
                                          {.weight = 1.0, .layer = "blocks.1", .projection = 8}, 5);
  std::vector<float> values(2 * 16 * 64);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(0.3F * static_cast<float>(i));
  const Tensor hidden = Tensor::from_host(std::span<const float>(values), {2, 16, 64}, Device{});
  const Tensor clean = Tensor::from_host(std::span<const float>(values).first(128), {2, 8, 8, 1}, Device{});
  const NoGrad guard;
  const std::vector<double> loss = alignment.loss(hidden, clean).to_host_double();

  // By plain loops: 4 x 4 tokens averaged to the encoder's 2 x 2, three linear layers, cosines.
  const auto parameters = alignment.parameters();
  const auto linear = [&](std::size_t at, const std::vector<double>& x) {
    const std::vector<double> w = parameters[at].value.to_host_double(), b = parameters[at + 1].value.to_host_double();
    std::vector<double> y = b;
    for (std::size_t o = 0; o < b.size(); ++o)
      for (std::size_t i = 0; i < x.size(); ++i) y[o] += w[o * x.size() + i] * x[i];
    return y;
  };
  const auto activated = [](std::vector<double> x) {
    for (double& value : x) value /= 1.0 + std::exp(-value);
    return x;
  };
  const std::vector<double> patches = encoder->patches(clean).to_host_double();
  for (std::size_t n = 0; n < 2; ++n) {
    double cosine = 0.0;
    for (std::size_t p = 0; p < 4; ++p) {
      std::vector<double> token(64, 0.0);
      for (std::size_t dy = 0; dy < 2; ++dy)
        for (std::size_t dx = 0; dx < 2; ++dx)
          for (std::size_t c = 0; c < 64; ++c)
            token[c] += 0.25 * values[((n * 16 + (2 * (p / 2) + dy) * 4 + 2 * (p % 2) + dx) * 64) + c];
      const std::vector<double> y = linear(4, activated(linear(2, activated(linear(0, token)))));
      double dot = 0.0, yy = 0.0, pp = 0.0;
      for (std::size_t c = 0; c < y.size(); ++c) {
        const double patch = patches[(n * 4 + p) * y.size() + c];
        dot += y[c] * patch;
        yy += y[c] * y[c];
        pp += patch * patch;
      }
      cosine += dot / std::sqrt(yy * pp) / 4.0;
    }
    EXPECT_NEAR(loss[n], -cosine, 1e-5);
  }
}

TEST(Alignment, NamesLayersThatDoNotFit) {
  const auto model = transformer();
  EXPECT_THAT(message_of([&] { RepresentationAlignment(small_encoder(), model->network(), {.layer = "blocks.9"}, 0); }),
              HasSubstr("no layer 'blocks.9'; it has blocks.0"));
  EXPECT_EQ(middle_layer(model->network()), "blocks.1");
  EXPECT_EQ(middle_layer(UNet(UNetConfig::preset("unet-xs"))), "mid_block");
}

struct AlignedRun {
  std::unique_ptr<NetworkScore> model = transformer();
  std::shared_ptr<RepresentationAlignment> alignment;
  std::unique_ptr<Trainer> trainer;
  explicit AlignedRun(double weight, std::int64_t micro_batch = 0) {
    const Process process = Process::linear();
    if (weight > 0.0)
      alignment = std::make_shared<RepresentationAlignment>(
          small_encoder(), model->network(),
          RepresentationAlignment::Options{.weight = weight, .layer = "blocks.1", .projection = 16}, 5);
    TrainerOptions options{.steps = 40, .batch = 8, .micro_batch = micro_batch, .seed = 3};
    options.optimizer.learning_rate.base = 3e-3;
    trainer = std::make_unique<Trainer>(
        *model,
        Objective(std::make_shared<NoisedData>(halves(32), process), std::make_shared<ConditionalTarget>(),
                  parse_weighting("raw"), parse_noise_levels("uniform", process)),
        nullptr, options, alignment);
  }
  std::vector<float> weights() const {
    std::vector<float> all;
    for (const Parameter& parameter : model->network().parameters())
      for (const float value : parameter.value.to_host()) all.push_back(value);
    return all;
  }
  double aligned() const {
    const auto images = halves(16);
    std::vector<std::int64_t> rows(16);
    std::iota(rows.begin(), rows.end(), 0);
    const std::vector<double> t(16, 0.3), zero(16, 0.0);
    const RandomKey key{.seed = 77};
    const Tensor z = noised_images(*images, Process::linear(), rows, t, key, rows);
    const Tensor clean = noised_images(*images, Process::linear(), rows, zero, key, rows);
    std::map<std::string, Tensor> taps{{"blocks.1", {}}};
    ForwardContext context{.taps = &taps};
    const NoGrad guard;
    model->output(z, t, {}, context);
    return mean(alignment->loss(taps.at("blocks.1"), clean)).item();
  }
};

TEST(Alignment, TrainsBesideTheNetworkAndResumesBitForBit) {
  AlignedRun whole(0.5), plain(0.0);
  const double before = whole.aligned();
  whole.trainer->run(40, {});
  plain.trainer->run(40, {});
  EXPECT_LT(whole.aligned(), before - 0.3);
  EXPECT_NE(whole.weights(), plain.weights());
  EXPECT_EQ(whole.trainer->average().size(), whole.model->network().parameters().size());

  const TemporaryFolder folder;
  CheckpointInfo info;
  info.height = info.width = 8;
  info.channels = 1;
  AlignedRun first(0.5), second(0.5);
  first.trainer->run(15, {});
  first.trainer->save(folder / "checkpoint", info);
  second.trainer->restore(folder / "checkpoint");
  second.trainer->run(40, {});
  EXPECT_EQ(second.weights(), whole.weights());
  EXPECT_THROW(plain.trainer->restore(folder / "checkpoint"), Error);
}

}  // namespace
}  // namespace tweedie
