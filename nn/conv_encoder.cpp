#include "nn/conv_encoder.h"

#include "autograd/ops/reduction.h"
#include "nn/checkpoint.h"
#include "nn/config_fields.h"
#include "nn/io/file.h"

namespace tweedie {
namespace {

constexpr const char* class_name = "ConvEncoder";

constexpr auto visit_fields = [](auto& config, auto&& visit) {
  visit("height", config.height);
  visit("width", config.width);
  visit("channels", config.channels);
  visit("base_channels", config.base_channels);
  visit("classes", config.classes);
};

}  // namespace

ConvEncoderConfig ConvEncoderConfig::from_json(std::string_view text, std::string_view origin) {
  ConvEncoderConfig config = config_fields::read_config<ConvEncoderConfig>(text, origin, class_name, visit_fields);
  config.validate(origin);
  return config;
}

std::string ConvEncoderConfig::to_json() const {
  return config_fields::write_config(*this, class_name, visit_fields);
}

void ConvEncoderConfig::validate(std::string_view origin) const {
  visit_fields(*this,
               [&](std::string_view name, const auto& field) { config_fields::require_count(origin, name, field); });
  require(height % 4 == 0 && width % 4 == 0, "{}: pictures of {} x {}, expected multiples of 4", origin, height, width);
  require(base_channels % 8 == 0, "{}: field base_channels is {}, expected a multiple of 8", origin, base_channels);
}

ConvEncoder::ConvEncoder(const ConvEncoderConfig& config, Device device, std::uint64_t seed)
    : Module(device), config_(config) {
  config.validate();
  const Scope scope{device, seed, "encoder"};
  const std::int64_t base = config.base_channels;
  const std::int64_t widths[] = {config.channels, base, 2 * base, 2 * base, 4 * base, 4 * base};
  for (int i = 0; i < 5; ++i) {
    const std::string convolution = "conv." + std::to_string(i), norm = "norm." + std::to_string(i);
    const Conv2dGeometry geometry{
        .stride = i % 2 == 1 ? 2 : 1, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
    convolutions_.push_back(&register_module(
        convolution, std::make_unique<Conv2d>(scope.in(convolution), widths[i], widths[i + 1], 3, geometry)));
    norms_.push_back(&register_module(norm, std::make_unique<GroupNorm>(scope.in(norm), 8, widths[i + 1], 1e-5)));
  }
  classifier_ = &register_module("classifier",
                                 std::make_unique<Linear>(scope.in("classifier"), feature_channels(), config.classes));
}

Tensor ConvEncoder::patches(const Tensor& x) const {
  require(
      x.defined() && x.rank() == 4 && x.shape() == Shape({x.size(0), config_.height, config_.width, config_.channels}),
      "encoder: the input has shape {}, expected (N, {}, {}, {})", x.shape(), config_.height, config_.width,
      config_.channels);
  Tensor h = x;
  for (std::size_t i = 0; i < convolutions_.size(); ++i) h = (*norms_[i])((*convolutions_[i])(h), {.silu = true});
  return h;
}

Tensor ConvEncoder::features(const Tensor& x) const {
  return mean(patches(x), 1, 3);
}

Tensor ConvEncoder::logits(const Tensor& x) const {
  return (*classifier_)(features(x));
}

void save_encoder(const std::filesystem::path& folder, const ConvEncoder& encoder) {
  std::filesystem::create_directories(folder);
  io::write_file_atomic(folder / "config.json", encoder.config().to_json());
  write_parameters(folder / weights_file_name(WeightKind::raw), encoder.parameters());
}

std::unique_ptr<ConvEncoder> load_encoder(const std::filesystem::path& folder, Device device) {
  const std::filesystem::path config = folder / "config.json";
  auto encoder =
      std::make_unique<ConvEncoder>(ConvEncoderConfig::from_json(io::read_text(config), config.string()), device);
  read_parameters(folder / weights_file_name(WeightKind::raw), encoder->parameters());
  return encoder;
}

}  // namespace tweedie
