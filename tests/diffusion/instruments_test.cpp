#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "diffusion/memorization.h"
#include "diffusion/score_probe.h"
#include "diffusion/shells.h"
#include "diffusion/statistics.h"

namespace tweedie {
namespace {

constexpr Device cpu{DeviceKind::cpu, 0};

data::ImageSet random_set(std::int64_t count, std::int64_t d, std::uint64_t seed) {
  std::vector<float> values(static_cast<std::size_t>(count * d));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(2.0 * uniform({.seed = seed}, static_cast<std::uint32_t>(i)) - 1.0);
  return data::make_image_set("random", data::Split::train, {count, 1, 1, d}, values);
}

DeviceImages images_of(const data::ImageSet& set) {
  DeviceImages images;
  images.pixels = Tensor::from_host(set.floats(), {set.count, set.dimension()}, cpu);
  images.height = set.height;
  images.width = set.width;
  images.channels = set.channels;
  return images;
}

double distance(const data::ImageSet& a, std::int64_t i, const data::ImageSet& b, std::int64_t j) {
  std::vector<float> x(static_cast<std::size_t>(a.dimension())), y(x.size());
  a.copy_float(i, x);
  b.copy_float(j, y);
  double sum = 0.0;
  for (std::size_t k = 0; k < x.size(); ++k) sum += std::pow(static_cast<double>(x[k]) - y[k], 2);
  return std::sqrt(sum);
}

TEST(Memorization, MeasuresEqualBruteForce) {
  const data::ImageSet reference = random_set(70, 6, 1), images = random_set(9, 6, 2);
  const NeighbourMeasures measures = neighbour_measures(images.floats(), EmpiricalScore(reference));
  for (std::int64_t i = 0; i < images.count; ++i) {
    std::vector<std::pair<double, std::int64_t>> all;
    for (std::int64_t j = 0; j < reference.count; ++j) all.emplace_back(distance(images, i, reference, j), j);
    std::sort(all.begin(), all.end());
    double squares = 0.0;
    for (std::size_t k = 0; k < 50; ++k) squares += all[k].first * all[k].first / 50.0;
    const auto row = static_cast<std::size_t>(i);
    EXPECT_EQ(measures.nearest[row], all[0].second);
    EXPECT_NEAR(measures.distance[row], all[0].first, 1e-6);
    EXPECT_NEAR(measures.m[row], all[0].first * all[0].first / squares, 1e-6);
    EXPECT_NEAR(measures.nearest_over_second[row], all[0].first / all[1].first, 1e-6);
  }
}

TEST(Memorization, CopiesAreMemorisedByEveryCriterionAndFewNeighboursAreEnough) {
  const data::ImageSet reference = random_set(3, 6, 1);
  const MemorisedFractions all = memorised_fractions(neighbour_measures(reference.floats(), EmpiricalScore(reference)));
  EXPECT_EQ(all.m_third, 1.0);
  EXPECT_EQ(all.sqrt_m_third, 1.0);
  EXPECT_EQ(all.sqrt_m_half, 1.0);
  EXPECT_EQ(all.nn_ratio_third, 1.0);
  EXPECT_THROW(neighbour_measures(reference.floats(), EmpiricalScore(random_set(1, 6, 1))), Error);
}

TEST(Memorization, ThresholdsAreTheNamedOnes) {
  NeighbourMeasures measures;
  measures.m = {0.10, 0.12, 0.24, 0.26, 0.34};  // 1/9, 1/4 and 1/3 lie between
  measures.nearest_over_second = {0.2, 0.34, 0.5, 0.9, 1.0};
  const MemorisedFractions fractions = memorised_fractions(measures);
  EXPECT_DOUBLE_EQ(fractions.sqrt_m_third, 0.2);
  EXPECT_DOUBLE_EQ(fractions.sqrt_m_half, 0.6);
  EXPECT_DOUBLE_EQ(fractions.m_third, 0.8);
  EXPECT_DOUBLE_EQ(fractions.nn_ratio_third, 0.2);
}

TEST(Shells, PairDistancesEqualBruteForceAllAndSampled) {
  const data::ImageSet set = random_set(60, 5, 3);
  std::vector<double> all;
  for (std::int64_t i = 0; i < set.count; ++i)
    for (std::int64_t j = i + 1; j < set.count; ++j) all.push_back(distance(set, i, set, j));
  std::sort(all.begin(), all.end());
  const PairDistances exact(set), sampled(set, 1, 500);
  EXPECT_NEAR(exact.smallest(), all.front(), 1e-12);
  EXPECT_NEAR(sampled.smallest(), all.front(), 1e-6);  // from the engine, over all pairs
  EXPECT_NEAR(exact.quantile(0.5), quantile(all, 0.5), 1e-12);
  EXPECT_NEAR(sampled.quantile(0.5), quantile(all, 0.5), 0.1);
}

// The half-widths that Song et al. print for delta = 0.01 at three dimensions.
TEST(Shells, WidthAndOverlap) {
  EXPECT_NEAR(shell_half_width(784), 0.116, 5e-4);
  EXPECT_NEAR(shell_half_width(3072), 0.059, 5e-4);
  EXPECT_NEAR(shell_half_width(4096), 0.051, 5e-4);
  const Process process = Process::linear();
  EXPECT_EQ(shell_overlap(process, 1.0, 5.0), 1.0);
  EXPECT_EQ(shell_overlap(process, 0.0, 5.0), 0.0);
  EXPECT_NEAR(shell_overlap(process, 0.5, 2.0), std::exp(-0.5), 1e-12);
}

/// Answers with the exact empirical denoiser plus a constant: its error is known.
class ShiftedEmpirical final : public ScoreModel {
 public:
  ShiftedEmpirical(const EmpiricalScore& empirical, double shift) : empirical_(empirical), shift_(shift) {}
  Tensor predict(const Tensor& z, std::span<const double> t, View view, const Tensor&) override {
    EXPECT_EQ(view, View::x0);
    std::vector<float> alpha, sigma;
    for (const double level : t) {
      alpha.push_back(static_cast<float>(process_.alpha(level)));
      sigma.push_back(static_cast<float>(process_.sigma(level)));
    }
    std::vector<float> x0 = empirical_.evaluate(z.to_host(), alpha, sigma).x0;
    for (float& value : x0) value += static_cast<float>(shift_);
    return Tensor::from_host(std::span<const float>(x0), z.shape(), cpu);
  }
  const Process& process() const override { return process_; }
  Device device() const override { return cpu; }

 private:
  const EmpiricalScore& empirical_;
  double shift_;
  Process process_ = Process::linear();
};

TEST(ScoreProbe, RecoversAKnownError) {
  const data::ImageSet set = random_set(40, 12, 4);
  const EmpiricalScore empirical(set);
  const Process process = Process::linear();
  const std::vector<double> levels = {0.2, 0.6};
  const ProbeReference reference =
      reference_at(noised_states("sup", images_of(set), process, levels, 8, 7), empirical, process);
  ShiftedEmpirical exact(empirical, 0.0), shifted(empirical, 0.1);
  for (const double error : probe(exact, reference).error) EXPECT_NEAR(error, 0.0, 1e-9);
  const ProbeRecords records = probe(shifted, reference);
  ASSERT_EQ(records.error.size(), 16u);
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(records.at_level(0)[i], 0.01 * 16.0, 1e-6);     // (alpha / sigma)^2 = 16 at t = 0.2
    EXPECT_NEAR(records.v_error[i], 0.01 / (0.2 * 0.2), 1e-6);  // v = (z - x) / t
    EXPECT_NEAR(records.at_level(1)[i], 0.01 * (0.16 / 0.36), 1e-7);
    EXPECT_NEAR(records.error_by_sample()[i], 0.5 * (0.16 + 0.01 * 0.16 / 0.36), 1e-6);
  }
}

TEST(ScoreProbe, StatesAreTheSameImagesAndNoiseAtAllLevels) {
  const data::ImageSet set = random_set(10, 6, 4);
  const Process process = Process::linear();
  const std::vector<double> levels = {0.25, 0.75};
  const ProbeStates states = noised_states("sup", images_of(set), process, levels, 5, 3);
  const auto low = states.z[0].to_host(), high = states.z[1].to_host();
  for (std::size_t i = 0; i < low.size(); ++i) {
    const double x = set.floats()[i];
    EXPECT_NEAR((low[i] - 0.75 * x) / 0.25, (high[i] - 0.25 * x) / 0.75, 1e-5);
  }
}

// Few images still make many states: each comes again, with another noise.
TEST(ScoreProbe, MoreStatesThanImagesRepeatThem) {
  const data::ImageSet set = random_set(3, 6, 4);
  const Process process = Process::linear();
  const auto few = noised_states("sup", images_of(set), process, std::vector{0.25}, 3, 3).z[0].to_host(),
             many = noised_states("sup", images_of(set), process, std::vector{0.25}, 7, 3).z[0].to_host();
  const std::size_t d = few.size() / 3;
  ASSERT_EQ(many.size(), 7 * d);
  std::set<float> noises;
  for (std::size_t i = 0; i < 7; ++i) {
    if (i < 3) {
      for (std::size_t j = 0; j < d; ++j) EXPECT_EQ(many[i * d + j], few[i * d + j]);
    }
    const double x = set.floats()[(i % 3) * d];
    noises.insert(static_cast<float>((many[i * d] - 0.75 * x) / 0.25));
  }
  EXPECT_EQ(noises.size(), 7u);
}

// r* of noised training states is near 1, its spread that of a chi distribution.
TEST(ScoreProbe, TrainingStatesLieOnTheirShells) {
  const data::ImageSet set = random_set(50, 400, 4);
  const EmpiricalScore empirical(set);
  const Process process = Process::linear();
  const std::vector<double> levels = {0.3};
  const ProbeReference reference =
      reference_at(noised_states("sup", images_of(set), process, levels, 50, 3), empirical, process);
  EXPECT_NEAR(mean(reference.r_star), 1.0, 0.02);
  for (const double r : reference.r_star) EXPECT_NEAR(r, 1.0, 5.0 / std::sqrt(2.0 * 400.0));
}

}  // namespace
}  // namespace tweedie
