#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nn/module.h"

namespace tweedie {

/// Learning rate over training: linear warm-up over `warmup` steps, then constant, or a half cosine down to 0 at
/// `total`.
struct LearningRate {
  enum class Schedule : std::uint8_t { constant, cosine };
  double base = 1e-3;
  std::int64_t warmup = 0;
  Schedule schedule = Schedule::constant;
  std::int64_t total = 0;  // cosine only
  /// At step 1, 2, ...
  double at(std::int64_t step) const;
};
std::string_view name_of(LearningRate::Schedule schedule);
LearningRate::Schedule parse_schedule(std::string_view name);

/// Decay of the average of the weights at a step: min(maximum, (1 + step) / (10 + step)), so that the average of a
/// short run is not made of its first weights. maximum = 0 keeps the average equal to the weights.
double average_decay(double maximum, std::int64_t step);

/// AdamW and the exponential moving average of the weights, over all parameters of a module in one call (kernels/
/// optimizer). Raw weights live in the module, averaged ones here.
class Optimizer {
 public:
  struct Options {
    LearningRate learning_rate;
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.0;
    double clip_norm = 0.0;        // 0: no clipping
    double average_decay = 0.999;  // its maximum, see above
  };
  Optimizer(const Module& module, const Options& options) : Optimizer(module.parameters(), options) {}
  Optimizer(std::vector<Parameter> parameters, const Options& options);

  struct Step {
    double gradient_norm = 0.0;  // before clipping
    double learning_rate = 0.0;
  };
  /// Forms the norm of all gradients on the device, which step() clips by.
  void form_gradient_norm();
  /// That norm; not finite where a gradient is not.
  double gradient_norm();
  /// Uses and clears the parameters' gradients; form_gradient_norm and gradient_norm must have been called since
  /// they were gathered.
  Step step();
  std::int64_t steps_done() const { return steps_; }
  /// Averaged weights under the parameters' names.
  std::vector<Parameter> average() const;

  /// Moments, averages and step count, to be stored and restored bit for bit. `state` names them "first_moment.NAME",
  /// "second_moment.NAME" and "average.NAME".
  std::vector<Parameter> state() const;
  void set_steps_done(std::int64_t steps) { steps_ = steps; }

 private:
  Options options_;
  std::vector<Parameter> parameters_;
  std::vector<Tensor> first_, second_, average_;
  Tensor norm_, scale_;
  double last_norm_ = 0.0;
  std::int64_t steps_ = 0;
};

/// While one lives, a module holds other weights (the averaged ones); the former return at its end.
class WeightScope {
 public:
  WeightScope(const Module& module, const std::vector<Parameter>& weights);
  ~WeightScope();
  WeightScope(const WeightScope&) = delete;
  WeightScope& operator=(const WeightScope&) = delete;

 private:
  std::vector<Parameter> parameters_;
  std::vector<Tensor> former_;
};

}  // namespace tweedie
