// Single operations, forward and backward, against PyTorch and diffusers (tests/golden/make_golden.py).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "autograd/ops/activation.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/convolution.h"
#include "autograd/ops/embedding.h"
#include "autograd/ops/linear.h"
#include "autograd/ops/normalization.h"
#include "kernels/optimizer/optimizer.h"
#include "tests/nn/golden.h"

namespace tweedie {
namespace {

using nlohmann::json;
using testing::distance;
using testing::norm_of;

/// The cases of one operation, in PyTorch's layouts.
class GoldenOperations : public ::testing::TestWithParam<DeviceKind> {
 protected:
  using Function = std::function<Tensor(std::map<std::string, Tensor>&, const json&)>;

  GoldenOperations()
      : file_(testing::golden("operations.safetensors")),
        hyperparameters_(json::parse(file_.metadata().at("hyperparameters"))) {}

  Tensor tensor(const std::string& name) const { return testing::golden_tensor(file_, name, device_); }
  /// "conv2d.same3", "conv2d.stride2" ... for "conv2d"; a case itself stands for itself.
  std::vector<std::string> cases_of(const std::string& operation) const {
    std::set<std::string> cases;
    for (const auto& [name, entry] : file_.tensors())
      if (name.starts_with(operation + ".")) cases.insert(name.substr(0, name.find('.', name.find('.') + 1)));
    return {cases.begin(), cases.end()};
  }
  json hyperparameters_of(const std::string& name) const {
    return hyperparameters_.contains(name) ? hyperparameters_.at(name) : json::object();
  }
  /// Stored values are float32 roundings of exact ones: 3e-8 is their floor. float32 sums of this length cost a few
  /// ulp.
  double tolerance() const { return device_.kind == DeviceKind::reference ? 1e-7 : 1e-6; }

  /// To `tolerance` relative to the norm of what is expected, plus `scale`.
  void expect_close(const Tensor& got, const std::string& name, double tolerance, double scale = 0.0) const {
    const std::vector<double> expected = tensor(name).to_host_double();
    ASSERT_EQ(got.shape(), tensor(name).shape()) << name;
    EXPECT_LE(distance(got.to_host_double(), expected), tolerance * (norm_of(expected) + scale)) << name;
  }
  /// Runs every case of `operation` with all of `operands` differentiated.
  void check(const std::string& operation, std::vector<std::string> operands, const Function& function) const {
    const std::vector<std::string> cases = cases_of(operation);
    ASSERT_FALSE(cases.empty()) << operation;
    for (const std::string& name : cases) {
      std::map<std::string, Tensor> inputs;
      for (const std::string& operand : operands)
        inputs[operand] = tensor(name + "." + operand).set_requires_grad(true);
      const Tensor output = function(inputs, hyperparameters_of(name));
      expect_close(output, name + ".output", tolerance());
      const Tensor cotangent = tensor(name + ".cotangent");
      output.backward(cotangent);
      // Attention to a single key has no gradient but rounding errors of the cotangent's scale.
      const double scale = 0.1 * norm_of(cotangent.to_host_double());
      for (const std::string& operand : operands)
        expect_close(inputs[operand].grad(), name + ".gradient." + operand, tolerance(), scale);
    }
  }

  Device device_{GetParam()};
  io::SafetensorsFile file_;
  json hyperparameters_;
};

TEST_P(GoldenOperations, Convolution) {
  check("conv2d", {"input", "weight", "bias"}, [](auto& in, const json& p) {
    const Conv2dGeometry geometry{.stride = p.at("stride"),
                                  .pad_top = p.at("top"),
                                  .pad_left = p.at("left"),
                                  .pad_bottom = p.at("bottom"),
                                  .pad_right = p.at("right")};
    return to_channels_first(
        conv2d(to_channels_last(in["input"]), to_channels_last(in["weight"]), in["bias"], geometry));
  });
}

TEST_P(GoldenOperations, GroupNorm) {
  for (const bool silu : {false, true})
    check(silu ? "group_norm_silu" : "group_norm", {"input", "weight", "bias"}, [silu](auto& in, const json& p) {
      return to_channels_first(group_norm(to_channels_last(in["input"]), in["weight"], in["bias"],
                                          {.groups = p.at("groups"), .epsilon = p.at("eps"), .silu = silu}));
    });
}

TEST_P(GoldenOperations, LayerNorm) {
  check("layer_norm.affine", {"input", "weight", "bias"},
        [](auto& in, const json&) { return layer_norm(in["input"], in["weight"], in["bias"], {.epsilon = 1e-5}); });
  check("layer_norm.modulated", {"input", "scale", "shift"}, [](auto& in, const json&) {
    return layer_norm(in["input"], {}, {}, {.epsilon = 1e-6, .scale = in["scale"], .shift = in["shift"]});
  });
}

TEST_P(GoldenOperations, Attention) {
  check("attention", {"query", "key", "value"}, [](auto& in, const json&) {
    const auto tokens_first = [](const Tensor& x) { return permute(x, {0, 2, 1, 3}); };
    const double scale = 1.0 / std::sqrt(static_cast<double>(in["query"].size(3)));
    return tokens_first(
        attention(tokens_first(in["query"]), tokens_first(in["key"]), tokens_first(in["value"]), scale));
  });
}

TEST_P(GoldenOperations, Activations) {
  for (const auto& [name, kind] :
       {std::pair{"silu", ActivationKind::silu}, std::pair{"relu", ActivationKind::relu},
        std::pair{"gelu_erf", ActivationKind::gelu}, std::pair{"gelu_tanh", ActivationKind::gelu_tanh}})
    check(std::string("activation.") + name, {"input"},
          [kind = kind](auto& in, const json&) { return activation(in["input"], kind); });
  check("softmax", {"input"}, [](auto& in, const json&) { return softmax(in["input"]); });
}

TEST_P(GoldenOperations, Linear) {
  check("linear", {"input", "weight", "bias"},
        [](auto& in, const json&) { return linear(in["input"], in["weight"], in["bias"]); });
}

TEST_P(GoldenOperations, Resampling) {
  check("upsample_nearest", {"input"},
        [](auto& in, const json&) { return to_channels_first(upsample_nearest(to_channels_last(in["input"]))); });
  check("average_pool", {"input"},
        [](auto& in, const json&) { return to_channels_first(average_pool(to_channels_last(in["input"]))); });
}

TEST_P(GoldenOperations, TimeEmbeddings) {
  for (const std::string& name : cases_of("sinusoidal_embedding")) {
    const json p = hyperparameters_of(name);
    const Tensor output =
        sinusoidal_embedding(tensor(name + ".timesteps"), p.at("dim").get<std::int64_t>(),
                             {.cos_first = p.at("flip_sin_to_cos"), .frequency_shift = p.at("freq_shift")});
    expect_close(output, name + ".output", tolerance());
  }
  expect_close(fourier_embedding(tensor("fourier_embedding.log.timesteps"), tensor("fourier_embedding.log.weight"),
                                 /*take_log=*/true, /*cos_first=*/false),
               "fourier_embedding.log.output", tolerance());
}

TEST_P(GoldenOperations, AdamW) {
  for (const std::string& name : cases_of("adamw")) {
    const json p = hyperparameters_of(name);
    const Tensor parameter = tensor(name + ".start").clone(), gradients = tensor(name + ".gradients");
    const Tensor first = Tensor::zeros(parameter.shape(), device_), second = Tensor::zeros(parameter.shape(), device_);
    const Tensor norm = Tensor::zeros({1}, device_), scale = Tensor::zeros({1}, device_);
    std::vector<double> norms, steps;
    for (std::int64_t step = 0; step < gradients.size(0); ++step) {
      const Tensor gradient = reshape(slice(gradients, 0, step, 1), parameter.shape());
      const Array arrays[] = {gradient.array()};
      global_norm(norm.stream(), {.arrays = arrays,
                                  .norm = norm.array(),
                                  .scale = scale.array(),
                                  .max_norm = p.at("clip_norm").is_null() ? 0.0 : p.at("clip_norm").get<double>()});
      const OptimizerTensor tensors[] = {{.parameter = parameter.array(),
                                          .gradient = gradient.array(),
                                          .first_moment = first.array(),
                                          .second_moment = second.array(),
                                          .average = {}}};
      adam_step(norm.stream(), {.tensors = tensors,
                                .gradient_scale = scale.array(),
                                .learning_rate = p.at("learning_rate"),
                                .beta1 = p.at("beta1"),
                                .beta2 = p.at("beta2"),
                                .epsilon = p.at("epsilon"),
                                .weight_decay = p.at("weight_decay"),
                                .step = step + 1});
      norms.push_back(norm.item());
      for (const double value : parameter.to_host_double()) steps.push_back(value);
    }
    // PyTorch's clipping divides by norm + 1e-6: up to 1e-6 of each clipped gradient, of the order of its norm here.
    const double slack = p.at("clip_norm").is_null() ? tolerance() : 1e-5;
    const std::vector<double> expected = tensor(name + ".parameters").to_host_double();
    EXPECT_LT(distance(steps, expected), slack * norm_of(expected)) << name;
    expect_close(first, name + ".first_moment", slack);
    expect_close(second, name + ".second_moment", slack);
    if (!p.at("clip_norm").is_null()) {
      const std::vector<double> expected_norms = tensor(name + ".norms").to_host_double();
      EXPECT_LT(distance(norms, expected_norms), tolerance() * norm_of(expected_norms));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, GoldenOperations, ::testing::Values(DeviceKind::cpu, DeviceKind::reference),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace tweedie
