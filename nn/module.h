#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "autograd/tensor.h"

namespace tweedie {

/// How a parameter's axes in memory relate to those on disk: convolutions are (O, kernel_h, kernel_w, I) in memory and
/// (O, I, kernel_h, kernel_w) in checkpoints; everything else is the same in both.
enum class ParameterLayout : std::uint8_t { plain, convolution };

struct Parameter {
  std::string name;  // dotted path from the module asked, the checkpoint's name: "down_blocks.0.resnets.1.conv1.weight"
  Tensor value;      // a leaf; it requires a gradient unless it is saved but not trained (fixed Fourier frequencies)
  ParameterLayout layout = ParameterLayout::plain;
};

/// What one forward pass needs besides its inputs.
struct ForwardContext {
  bool training = false;   // dropout acts in training only
  std::uint64_t seed = 0;  // dropout masks are keyed by (seed, step, sample, place in the network)
  std::uint32_t step = 0;
  Tensor samples = {};                            // int64 (N): the sample streams of the batch; needed with dropout
  std::map<std::string, Tensor>* taps = nullptr;  // filled with the activations of the names it holds already
};

/// A part of a network: its parameters and its sub-modules, by name, in registration order.
class Module {
 public:
  Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  virtual ~Module() = default;

  /// This module's parameters and its sub-modules', depth first.
  std::vector<Parameter> parameters() const;
  std::int64_t parameter_count() const;
  Device device() const { return device_; }

 protected:
  explicit Module(Device device) : device_(device) {}
  /// Adds a parameter of the given values; it will require gradients unless `trained` is false.
  Tensor& register_parameter(std::string name, Tensor value, ParameterLayout layout = ParameterLayout::plain,
                             bool trained = true);
  /// Takes a sub-module over and returns it.
  template <class M>
  M& register_module(std::string name, std::unique_ptr<M> module) {
    M& reference = *module;
    modules_.emplace_back(std::move(name), std::move(module));
    return reference;
  }
  /// Offers an activation to the taps of the context (see ForwardContext::taps).
  static void tap(const ForwardContext& context, const std::string& name, const Tensor& activation);

 private:
  void gather(const std::string& prefix, std::vector<Parameter>& out) const;

  Device device_;
  std::vector<std::unique_ptr<Parameter>> parameters_;  // pointers: register_parameter's references stay valid
  std::vector<std::pair<std::string, std::unique_ptr<Module>>> modules_;
};

}  // namespace tweedie
