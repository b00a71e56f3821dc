#include "experiments/generalization_through_variance/part.h"

#include <cmath>
#include <numbers>

namespace tweedie::experiments {

std::optional<FlowGrid> PartSettings::look_up() const {
  if (lookup_grid == 0) return {};
  return FlowGrid{.count = lookup_grid, .from = -1.5f, .spacing = static_cast<float>(3.0 / double(lookup_grid - 1))};
}

const PointSet& three_points() {
  static const PointSet set({-1.0, 0.0, 1.0}, 1);
  return set;
}

PointSet turned_square(double angle) {
  std::vector<double> points;
  for (int i = 0; i < 4; ++i) {
    const double turn = angle + 0.5 * std::numbers::pi * i;
    points.push_back(std::cos(turn));
    points.push_back(std::sin(turn));
  }
  return {std::move(points), 2};
}

EnsemblePlan line_plan(const PartSettings& settings, double t_min, std::int64_t draws, std::uint32_t cell) {
  const FeatureAxis space{.count = 16, .from = -1.5, .to = 1.5}, time{.count = 16, .from = t_min, .to = 1.0};
  return {.features = std::make_shared<CrossedFeatures>(std::vector{space}, time),
          .draws = {.t_min = t_min, .count = draws, .seed = settings.seed, .cell = cell},
          .samples = settings.samples,
          .models = settings.models,
          .look_up = settings.look_up()};
}

void put(nlohmann::ordered_json& object, const std::string& name, const OverModels& number) {
  object[name] = number.value;
  object[name + "_se"] = number.standard_error;
}

OverModels number(const nlohmann::ordered_json& object, const std::string& name) {
  return {object.at(name).get<double>(), object.at(name + "_se").get<double>()};
}

OverModels difference(const OverModels& a, const OverModels& b) {
  return {a.value - b.value, std::hypot(a.standard_error, b.standard_error)};
}

Claim trend_claim(const std::string& statement, const std::string& effect_name, const OverModels& effect,
                  int expected_sign, std::int64_t n, std::int64_t models, const std::string& note) {
  const double half = 1.96 * effect.standard_error, signed_value = expected_sign * effect.value;
  const Verdict verdict = signed_value > half    ? Verdict::reproduced
                          : signed_value < -half ? Verdict::contradicted
                                                 : Verdict::not_at_this_scale;
  return {.statement = statement,
          .verdict = verdict,
          .effect_name = effect_name,
          .effect = effect.value,
          .low = effect.value - half,
          .high = effect.value + half,
          .n = n,
          .seeds = static_cast<int>(models),
          .note = note};
}

}  // namespace tweedie::experiments
