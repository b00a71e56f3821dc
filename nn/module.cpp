#include "nn/module.h"

namespace tweedie {

std::vector<Parameter> Module::parameters() const {
  std::vector<Parameter> all;
  gather("", all);
  return all;
}

std::int64_t Module::parameter_count() const {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters()) count += parameter.value.count();
  return count;
}

Tensor& Module::register_parameter(std::string name, Tensor value, ParameterLayout layout, bool trained) {
  value.set_requires_grad(trained);
  parameters_.push_back(std::make_unique<Parameter>(Parameter{std::move(name), std::move(value), layout}));
  return parameters_.back()->value;
}

void Module::tap(const ForwardContext& context, const std::string& name, const Tensor& activation) {
  if (context.taps == nullptr) return;
  if (const auto found = context.taps->find(name); found != context.taps->end()) found->second = activation;
}

void Module::gather(const std::string& prefix, std::vector<Parameter>& out) const {
  for (const auto& parameter : parameters_)
    out.push_back({prefix + parameter->name, parameter->value, parameter->layout});
  for (const auto& [name, module] : modules_) module->gather(prefix + name + ".", out);
}

}  // namespace tweedie
