#include "diffusion/guided_score.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "diffusion/checkpoint.h"
#include "diffusion/empirical_score_model.h"
#include "diffusion/objective.h"
#include "diffusion/samplers.h"
#include "nn/mlp.h"
#include "tests/nn/io_support.h"

namespace tweedie {
namespace {

using io::testing::message_of;
using io::testing::TemporaryFolder;
using ::testing::HasSubstr;

std::shared_ptr<NetworkScore> model(std::int64_t labels, std::optional<std::int64_t> null_label) {
  const MlpConfig config{.channels = 2, .hidden_width = 16, .hidden_layers = 2, .num_class_embeds = labels};
  return std::make_shared<NetworkScore>(std::make_shared<Mlp>(config, Device{}, 4), Process::linear(),
                                        Parameterisation::plain(View::v), null_label);
}

Tensor integers(const std::vector<std::int64_t>& values) {
  return Tensor::from_host(std::span<const std::int64_t>(values), {static_cast<std::int64_t>(values.size())}, Device{});
}

const std::vector<double> levels = {0.2, 0.5, 0.9};
Tensor points() {
  const std::vector<float> values = {0.3F, -1.0F, 0.8F, 0.1F, -0.4F, 2.0F};
  return Tensor::from_host(std::span<const float>(values), {3, 1, 1, 2}, Device{});
}

TEST(GuidedScore, ExtrapolatesFromTheNullClassToTheClassInEveryView) {
  const auto network = model(4, 3);
  const Tensor z = points(), labels = integers({0, 2, 1}), none = integers({3, 3, 3});
  for (const double w : {-0.5, 0.0, 0.3, 1.0, 4.0}) {
    GuidedScore guided(network, 3, w);
    for (const View view : {View::eps, View::x0, View::v, View::score}) {
      const std::vector<double> found = guided.predict(z, levels, view, labels).to_host_double();
      const std::vector<double> with = network->predict(z, levels, view, labels).to_host_double();
      const std::vector<double> without = network->predict(z, levels, view, none).to_host_double();
      for (std::size_t i = 0; i < found.size(); ++i)
        EXPECT_NEAR(found[i], without[i] + w * (with[i] - without[i]),
                    1e-6 * (1.0 + std::abs(w)) * (std::abs(with[i]) + std::abs(without[i])))
            << w << " " << name_of(view);
    }
  }
  // The bits of the model itself where one of the two has no weight.
  EXPECT_EQ(GuidedScore(network, 3, 1.0).predict(z, levels, View::v, labels).to_host(),
            network->predict(z, levels, View::v, labels).to_host());
  EXPECT_EQ(GuidedScore(network, 3, 0.0).predict(z, levels, View::v).to_host(),
            network->predict(z, levels, View::v, none).to_host());
  EXPECT_THAT(message_of([&] { GuidedScore(network, 3, 2.0).predict(z, levels, View::v); }), HasSubstr("missing"));
}

// Guidance 1 on the empirical score of a labelled set stays in the class; guidance 0 sees all images.
TEST(GuidedScore, GuidesTheEmpiricalScore) {
  const std::vector<float> pixels = {-1.0F, 0.0F, 1.0F, 0.0F};
  const data::ImageSet images = data::make_image_set("two points", data::Split::train, {2, 1, 1, 2}, pixels, {0, 1}, 2);
  const auto exact = std::make_shared<EmpiricalScoreModel>(EmpiricalScore(images), Process::linear());
  const std::vector<float> origin = {0.0F, 0.0F};
  const Tensor z = Tensor::from_host(std::span<const float>(origin), {1, 1, 1, 2}, Device{});
  const std::vector<double> t = {0.5};
  const auto mean_of = [&](double w) {
    return GuidedScore(exact, -1, w).predict(z, t, View::x0, integers({1})).to_host()[0];
  };
  EXPECT_NEAR(mean_of(0.0), 0.0, 1e-6);
  EXPECT_NEAR(mean_of(1.0), 1.0, 1e-6);
  EXPECT_NEAR(mean_of(3.0), 3.0, 1e-6);
}

TEST(LabelDrop, ReplacesTheSameShareOfLabelsWhateverTheBatch) {
  auto images = std::make_shared<DeviceImages>();
  constexpr std::int64_t count = 5;
  images->pixels = Tensor::zeros({count, 2}, Device{});
  images->height = images->width = 1;
  images->channels = 2;
  images->labels = {0, 1, 2, 0, 1};
  images->label_classes = 3;
  const Process process = Process::linear();
  const auto objective = [&](double probability) {
    return Objective(std::make_shared<NoisedData>(images, process), std::make_shared<ConditionalTarget>(),
                     parse_weighting("raw"), parse_noise_levels("uniform", process),
                     LabelDrop{.probability = probability, .null_label = 3});
  };
  const auto labels = [&](const Objective& from, std::uint32_t step, std::int64_t first, std::int64_t n,
                          bool held_out = false) {
    return from.batch(7, step, first, n, Parameterisation::plain(View::v), held_out).draw.labels.to_host_integers();
  };
  constexpr std::int64_t n = 4000;
  const Objective plain = objective(0.0), dropping = objective(0.1);
  const std::vector<std::int64_t> kept = labels(plain, 1, 0, n), found = labels(dropping, 1, 0, n);
  std::int64_t dropped = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i] == 3)
      ++dropped;
    else
      EXPECT_EQ(found[i], kept[i]);
  }
  EXPECT_NEAR(static_cast<double>(dropped) / n, 0.1, 4.0 * std::sqrt(0.09 / n));
  const std::vector<std::int64_t> part = labels(dropping, 1, 100, 50);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), found.begin() + 100)) << "depends on the split of the batch";
  EXPECT_NE(labels(dropping, 2, 0, n), found);
  EXPECT_EQ(labels(dropping, 1, 0, n, true), labels(plain, 1, 0, n, true)) << "held-out labels are kept";
  EXPECT_EQ(plain.describe().find("dropped"), std::string::npos);
  EXPECT_THAT(dropping.describe(), HasSubstr("labels dropped at 0.1"));
}

TEST(NetworkScore, KeepsItsNullLabelInCheckpoints) {
  const TemporaryFolder folder;
  CheckpointInfo info;
  info.height = info.width = 1;
  info.channels = 2;
  save_checkpoint(folder.path(), *model(4, 3), {}, info);
  EXPECT_EQ(load_checkpoint(folder.path(), WeightKind::raw)->null_label(), 3);
  EXPECT_EQ(load_checkpoint(folder.path(), WeightKind::raw)->classes(), 3);
  save_checkpoint(folder.path(), *model(4, {}), {}, info);
  EXPECT_EQ(load_checkpoint(folder.path(), WeightKind::raw)->null_label(), std::nullopt);
  EXPECT_EQ(load_checkpoint(folder.path(), WeightKind::raw)->classes(), 4);
  EXPECT_THAT(message_of([] { model(4, 1); }), HasSubstr("null label 1 for a network of 4 labels"));
}

}  // namespace
}  // namespace tweedie
