#include "nn/checkpoint.h"

#include <array>
#include <set>

#include "nn/config_fields.h"
#include "nn/dit.h"
#include "nn/io/safetensors.h"
#include "nn/mlp.h"
#include "nn/unet.h"

namespace tweedie {
namespace {

/// A convolution's (O, H, W, I) as (O, I, H, W) or back: [o, a, b] to [o, b, a].
void swap_inner_axes(std::span<const float> from, std::span<float> to, std::int64_t outer, std::int64_t a,
                     std::int64_t b) {
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < a; ++i)
      for (std::int64_t j = 0; j < b; ++j)
        to[static_cast<std::size_t>((o * b + j) * a + i)] = from[static_cast<std::size_t>((o * a + i) * b + j)];
}

Shape shape_on_disk(const Parameter& parameter) {
  const Shape& shape = parameter.value.shape();
  if (parameter.layout == ParameterLayout::plain) return shape;
  return {shape[0], shape[3], shape[1], shape[2]};
}

std::vector<float> values_on_disk(const Parameter& parameter) {
  const std::vector<float> values = parameter.value.to_host();
  if (parameter.layout == ParameterLayout::plain) return values;
  const Shape& shape = parameter.value.shape();
  std::vector<float> reordered(values.size());
  swap_inner_axes(values, reordered, shape[0], shape[1] * shape[2], shape[3]);
  return reordered;
}

std::vector<float> values_in_memory(const Parameter& parameter, std::vector<float> values) {
  if (parameter.layout == ParameterLayout::plain) return values;
  const Shape& shape = parameter.value.shape();
  std::vector<float> reordered(values.size());
  swap_inner_axes(values, reordered, shape[0], shape[3], shape[1] * shape[2]);
  return reordered;
}

/// The name that early diffusers releases gave to an attention tensor of today's name; the same name for any other.
std::string former_name(const std::string& name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> renamed = {
      {{".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}}};
  for (const auto& [today, former] : renamed)
    if (const auto at = name.rfind(today); at != std::string::npos && name.find("attentions.") != std::string::npos)
      return std::string(name).replace(at, today.size(), former);
  return name;
}

/// Collects what is wrong with a file, so that one message can tell all of it.
class Complaints {
 public:
  void add(std::string complaint) {
    if (++count_ <= shown_) text_ += (text_.empty() ? "" : "; ") + std::move(complaint);
  }
  void raise(const std::string& file) const {
    require(count_ == 0, "{}: {}{}", file, text_,
            count_ > shown_ ? fmt::format("; and {} more", count_ - shown_) : std::string());
  }

 private:
  static constexpr int shown_ = 10;
  int count_ = 0;
  std::string text_;
};

std::vector<std::string> names_in(const io::SafetensorsFile& file, std::span<const Parameter> parameters) {
  Complaints complaints;
  std::vector<std::string> names;
  std::set<std::string> used;
  for (const Parameter& parameter : parameters) {
    std::string name = parameter.name;
    if (!file.contains(name)) name = former_name(name);
    const Shape expected = shape_on_disk(parameter);
    if (!file.contains(name)) {
      complaints.add(fmt::format("tensor {} {} is missing", parameter.name, expected));
    } else if (const Shape& found = file.at(name).shape; found != expected) {
      complaints.add(fmt::format("tensor {} has shape {}, expected {}", name, found, expected));
    }
    used.insert(name);
    names.push_back(std::move(name));
  }
  for (const auto& [name, entry] : file.tensors())
    if (!used.contains(name)) complaints.add(fmt::format("unexpected tensor {} {}", name, entry.shape));
  complaints.raise(file.name());
  return names;
}

}  // namespace

std::string weights_file_name(WeightKind kind) {
  return kind == WeightKind::raw ? "diffusion_pytorch_model.safetensors" : "diffusion_pytorch_model.ema.safetensors";
}

void write_parameters(const std::filesystem::path& file, std::span<const Parameter> parameters,
                      const std::map<std::string, std::string>& metadata) {
  std::vector<std::vector<float>> values;
  std::vector<io::ArrayView> views;
  for (const Parameter& parameter : parameters) {
    values.push_back(values_on_disk(parameter));
    views.push_back(io::view_of(parameter.name, values.back(), shape_on_disk(parameter)));
  }
  std::map<std::string, std::string> header = metadata;
  header.emplace("format", "pt");  // the ecosystem's loaders refuse a file that does not say it
  io::write_safetensors(file, std::move(views), header);
}

std::vector<std::string> read_parameters(const std::filesystem::path& path, std::span<const Parameter> parameters) {
  const io::SafetensorsFile file(path);
  std::vector<std::string> names = names_in(file, parameters);
  std::vector<std::vector<float>> values;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    values.push_back(values_in_memory(parameters[i], file.read_float32(names[i], shape_on_disk(parameters[i]))));
  for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].value.copy_from_host(values[i]);
  return names;
}

std::unique_ptr<Network> make_network(const std::string& config, Device device, std::uint64_t seed,
                                      std::string_view origin) {
  const auto document = config_fields::parse(config, origin);
  const auto name = document.find("_class_name");
  if (name == document.end() || *name == "UNet2DModel")
    return std::make_unique<UNet>(UNetConfig::from_json(config, origin), device, seed, config);
  if (*name == "Mlp") return std::make_unique<Mlp>(MlpConfig::from_json(config, origin), device, seed);
  if (*name == "DiT") return std::make_unique<DiT>(DiTConfig::from_json(config, origin), device, seed);
  fail("{}: field _class_name is {}; the networks known are \"UNet2DModel\", \"DiT\" and \"Mlp\"", origin,
       name->dump());
}

std::unique_ptr<Network> load_network(const std::filesystem::path& folder, WeightKind kind, Device device) {
  const std::filesystem::path config = folder / "config.json";
  std::unique_ptr<Network> network = make_network(io::read_text(config), device, 0, config.string());
  read_parameters(folder / weights_file_name(kind), network->parameters());
  return network;
}

void save_network(const std::filesystem::path& folder, const Network& network, WeightKind kind) {
  save_network(folder, network, network.parameters(), kind);
}

void save_network(const std::filesystem::path& folder, const Network& network, std::span<const Parameter> weights,
                  WeightKind kind) {
  const std::vector<Parameter> parameters = network.parameters();
  require(weights.size() == parameters.size(), "checkpoint {}: {} weights for {} parameters", folder.string(),
          weights.size(), parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i)
    require(weights[i].name == parameters[i].name && weights[i].value.shape() == parameters[i].value.shape(),
            "checkpoint {}: weight {} {} for parameter {} {}", folder.string(), weights[i].name,
            weights[i].value.shape(), parameters[i].name, parameters[i].value.shape());
  io::write_file_atomic(folder / "config.json", network.config());
  write_parameters(folder / weights_file_name(kind), weights);
}

}  // namespace tweedie
