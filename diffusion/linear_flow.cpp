#include "diffusion/linear_flow.h"

#include <algorithm>
#include <cmath>

#include "kernels/runtime/parallel.h"
#include "kernels/runtime/random.h"
#include "kernels/runtime/stream.h"

namespace tweedie {
namespace {

std::size_t size(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

}  // namespace

std::vector<double> falling_times(double t_max, double t_min, std::int64_t steps) {
  require(steps > 0 && t_max > t_min, "times: {} steps from {} to {}", steps, t_max, t_min);
  std::vector<double> times;
  for (std::int64_t k = 0; k <= steps; ++k)
    times.push_back(t_max + (t_min - t_max) * static_cast<double>(k) / static_cast<double>(steps));
  times.back() = t_min;
  return times;
}

std::vector<DenoiserStep> euler_steps(const Process& process, std::span<const double> times) {
  std::vector<DenoiserStep> steps;
  for (std::size_t k = 0; k + 1 < times.size(); ++k) {
    const double t = times[k], h = times[k + 1] - t, sigma = process.sigma(t);
    const double rate = 0.5 * h * process.g2(t) / (sigma * sigma);  // of -g^2/2 (alpha mu - z)/sigma^2
    steps.push_back({1.0 + h * process.f(t) + rate, -rate * process.alpha(t)});
  }
  return steps;
}

LinearFlow::LinearFlow(std::shared_ptr<const CrossedFeatures> features, const Process& process,
                       std::vector<double> times, std::optional<FlowGrid> look_up)
    : features_(std::move(features)), times_(std::move(times)), look_up_(look_up) {
  require(features_->dimension() <= 2, "linear flow: features of dimension {}, expected 1 or 2",
          features_->dimension());
  const FeatureAxis& time = features_->time();
  std::vector<double> values(size(time.count));
  const std::vector<DenoiserStep> steps = euler_steps(process, times_);
  for (std::size_t k = 0; k < steps.size(); ++k) {
    keep_.push_back(static_cast<float>(steps[k].keep));
    time.evaluate(times_[k], values);
    for (const double value : values) time_features_.push_back(steps[k].pull * value);
  }
  if (!look_up_) return;
  require(look_up_->count > 1, "linear flow: a grid of {} points, expected at least 2", look_up_->count);
  for (const FeatureAxis& axis : features_->space()) {
    std::vector<float> table(size(axis.count * look_up_->count));
    values.resize(size(axis.count));
    for (std::int64_t i = 0; i < look_up_->count; ++i) {
      axis.evaluate(double{look_up_->from} + double{look_up_->spacing} * static_cast<double>(i), values);
      for (std::int64_t a = 0; a < axis.count; ++a)
        table[size(a * look_up_->count + i)] = static_cast<float>(values[size(a)]);
    }
    grid_features_.push_back(std::move(table));
  }
}

/// (K, d, features of y, features of x), or (K, features of x): the weights contracted with the times' features.
std::vector<float> LinearFlow::coefficients(std::span<const double> weights) const {
  const auto& space = features_->space();
  const bool plane = space.size() == 2;
  const std::size_t nx = size(space[0].count), ny = plane ? size(space[1].count) : 1,
                    nt = size(features_->time().count);
  require(static_cast<std::int64_t>(weights.size()) == features_->dimension() * features_->count(),
          "linear flow: {} weights for {} features of dimension {}", weights.size(), features_->count(),
          features_->dimension());
  // Tables hold the features themselves; the vector code's bumps are without their peaks.
  double peaks = 1.0;
  if (!look_up_)
    for (const FeatureAxis& axis : space) peaks *= axis.peak();
  std::vector<float> result;
  result.reserve(keep_.size() * space.size() * nx * ny);
  for (std::size_t k = 0; k < keep_.size(); ++k)
    for (std::size_t output = 0; output < space.size(); ++output)
      for (std::size_t b = 0; b < ny; ++b)
        for (std::size_t a = 0; a < nx; ++a) {
          const double* w = weights.data() + ((output * nx + a) * ny + b) * nt;
          double sum = 0.0;
          for (std::size_t c = 0; c < nt; ++c) sum += w[c] * time_features_[k * nt + c];
          result.push_back(static_cast<float>(peaks * sum));
        }
  return result;
}

void LinearFlow::run_table(std::span<const float> coefficients, std::span<float> state) const {
  const std::size_t count = size(look_up_->count), steps = keep_.size();
  if (features_->dimension() == 1) {
    const std::size_t nx = size(features_->space()[0].count);
    std::vector<float> table(steps * count, 0.0f);
    for (std::size_t k = 0; k < steps; ++k)
      for (std::size_t a = 0; a < nx; ++a)
        for (std::size_t i = 0; i < count; ++i)
          table[k * count + i] += coefficients[k * nx + a] * grid_features_[0][a * count + i];
    flow_table(*look_up_, keep_, table, state);
    return;
  }
  const std::size_t n = state.size() / 2, plane = coefficients.size() / steps;
  std::vector<float> table(2 * count * count);
  for (std::size_t k = 0; k < steps; ++k) {
    fill_flow_table(grid_features_[0], grid_features_[1], coefficients.subspan(k * plane, plane), look_up_->count,
                    table);
    flow_table_step(*look_up_, keep_[k], table, state.first(n), state.subspan(n));
  }
}

void LinearFlow::run(std::span<const double> weights, std::span<float> state) const {
  const std::vector<float> terms = coefficients(weights);
  if (look_up_) {
    run_table(terms, state);
  } else if (features_->dimension() == 1) {
    flow_features(features_->space()[0].flow_axis(), keep_, terms, state);
  } else {
    const std::size_t n = state.size() / 2;
    flow_features(features_->space()[0].flow_axis(), features_->space()[1].flow_axis(), keep_, terms, state.first(n),
                  state.subspan(n));
  }
}

void run_exact_flow(const PointSet& set, const Process& process, std::span<const double> times,
                    const std::optional<FlowGrid>& look_up, std::span<float> state) {
  require(set.dimension() == 1, "exact flow: points of dimension {}, expected 1", set.dimension());
  const std::vector<DenoiserStep> steps = euler_steps(process, times);
  if (look_up) {
    std::vector<float> keep, table;
    for (std::size_t k = 0; k < steps.size(); ++k) {
      keep.push_back(static_cast<float>(steps[k].keep));
      for (std::int64_t i = 0; i < look_up->count; ++i) {
        const double z = double{look_up->from} + double{look_up->spacing} * static_cast<double>(i);
        double mean = 0.0;
        set.denoise({&z, 1}, process.alpha(times[k]), process.sigma(times[k]), {&mean, 1});
        table.push_back(static_cast<float>(steps[k].pull * mean));
      }
    }
    flow_table(*look_up, keep, table, state);
    return;
  }
  const std::vector<float> points(set.points().begin(), set.points().end());
  std::vector<PointStep> exact;
  for (std::size_t k = 0; k < steps.size(); ++k)
    exact.push_back({static_cast<float>(steps[k].keep), static_cast<float>(steps[k].pull),
                     static_cast<float>(process.alpha(times[k])),
                     static_cast<float>(0.5 / std::pow(process.sigma(times[k]), 2))});
  parallel_for(static_cast<std::int64_t>(state.size()), 4096, [&](std::int64_t first, std::int64_t last) {
    flow_points(points, exact, state.subspan(size(first), size(last - first)));
  });
}

std::vector<float> flow_start(const Process& process, double t, std::int64_t count, std::uint64_t seed,
                              std::uint32_t cell, std::int64_t stream) {
  std::vector<float> state(size(count));
  fill_normal(default_stream(Device{}), {.out = {state.data(), Shape({1, count}), DType::float32},
                                         .first_sample = stream,
                                         .key = {seed, Purpose::sampler_start, cell}});
  const auto sigma = static_cast<float>(process.sigma(t));
  for (float& value : state) value *= sigma;
  return state;
}

}  // namespace tweedie
