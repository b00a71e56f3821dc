#include "nn/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/optimizer/optimizer.h"

namespace tweedie {

double LearningRate::at(std::int64_t step) const {
  const double warm = warmup > 0 ? std::min(1.0, static_cast<double>(step) / static_cast<double>(warmup)) : 1.0;
  if (schedule == Schedule::constant || step <= warmup) return base * warm;
  const double span = static_cast<double>(std::max<std::int64_t>(1, total - warmup));
  const double progress = std::min(1.0, static_cast<double>(step - warmup) / span);
  return base * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
}

std::string_view name_of(LearningRate::Schedule schedule) {
  return schedule == LearningRate::Schedule::constant ? "constant" : "cosine";
}

LearningRate::Schedule parse_schedule(std::string_view name) {
  if (name == "constant") return LearningRate::Schedule::constant;
  if (name == "cosine") return LearningRate::Schedule::cosine;
  throw UsageError(fmt::format("learning-rate schedule '{}': expected constant or cosine", name));
}

double average_decay(double maximum, std::int64_t step) {
  const double n = static_cast<double>(step);
  return std::min(maximum, (1.0 + n) / (10.0 + n));
}

Optimizer::Optimizer(std::vector<Parameter> parameters, const Options& options)
    : options_(options), parameters_(std::move(parameters)) {
  require(!parameters_.empty(), "optimizer: there are no parameters");
  for (const Parameter& parameter : parameters_) {
    const Device device = parameter.value.device();
    first_.push_back(Tensor::zeros(parameter.value.shape(), device));
    second_.push_back(Tensor::zeros(parameter.value.shape(), device));
    average_.push_back(parameter.value.clone());
  }
  norm_ = Tensor::zeros({1}, parameters_[0].value.device());
  scale_ = Tensor::zeros({1}, parameters_[0].value.device());
}

void Optimizer::form_gradient_norm() {
  std::vector<Array> gradients;
  for (const Parameter& parameter : parameters_)
    if (parameter.value.grad().defined()) gradients.push_back(parameter.value.grad().array());
  require(!gradients.empty(), "optimizer: no parameter has a gradient; call backward first");
  global_norm(norm_.stream(),
              {.arrays = gradients, .norm = norm_.array(), .scale = scale_.array(), .max_norm = options_.clip_norm});
}

double Optimizer::gradient_norm() {
  return last_norm_ = norm_.item();
}

Optimizer::Step Optimizer::step() {
  ++steps_;
  std::vector<OptimizerTensor> tensors;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& value = parameters_[i].value;
    if (!value.grad().defined()) continue;  // it took no part in this step's loss
    tensors.push_back({.parameter = value.array(),
                       .gradient = value.grad().array(),
                       .first_moment = first_[i].array(),
                       .second_moment = second_[i].array(),
                       .average = average_[i].array()});
  }
  const double rate = options_.learning_rate.at(steps_);
  adam_step(norm_.stream(), {.tensors = tensors,
                             .gradient_scale = scale_.array(),
                             .learning_rate = rate,
                             .beta1 = options_.beta1,
                             .beta2 = options_.beta2,
                             .epsilon = options_.epsilon,
                             .weight_decay = options_.weight_decay,
                             .average_decay = average_decay(options_.average_decay, steps_),
                             .step = steps_});
  for (const Parameter& parameter : parameters_) parameter.value.clear_grad();
  return {.gradient_norm = last_norm_, .learning_rate = rate};
}

std::vector<Parameter> Optimizer::average() const {
  std::vector<Parameter> out;
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    out.push_back({parameters_[i].name, average_[i], parameters_[i].layout});
  return out;
}

std::vector<Parameter> Optimizer::state() const {
  std::vector<Parameter> out;
  const auto gather = [&](const std::string& prefix, const std::vector<Tensor>& values) {
    for (std::size_t i = 0; i < parameters_.size(); ++i)
      out.push_back({prefix + parameters_[i].name, values[i], parameters_[i].layout});
  };
  gather("first_moment.", first_);
  gather("second_moment.", second_);
  gather("average.", average_);
  return out;
}

WeightScope::WeightScope(const Module& module, const std::vector<Parameter>& weights)
    : parameters_(module.parameters()) {
  require(parameters_.size() == weights.size(), "weight scope: {} weights for {} parameters", weights.size(),
          parameters_.size());
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    require(parameters_[i].name == weights[i].name && parameters_[i].value.shape() == weights[i].value.shape(),
            "weight scope: weight {} {} for parameter {} {}", weights[i].name, weights[i].value.shape(),
            parameters_[i].name, parameters_[i].value.shape());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    former_.push_back(parameters_[i].value.clone());
    parameters_[i].value.copy_from(weights[i].value);
  }
}

WeightScope::~WeightScope() {
  for (std::size_t i = 0; i < parameters_.size(); ++i) parameters_[i].value.copy_from(former_[i]);
}

}  // namespace tweedie
