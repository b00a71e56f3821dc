#include "diffusion/checkpoint.h"

#include <nlohmann/json.hpp>

#include <vector>

#include "nn/io/file.h"

namespace tweedie {
namespace {

std::filesystem::path info_file(const std::filesystem::path& folder) {
  return folder / "tweedie.json";
}

}  // namespace

bool has_checkpoint_info(const std::filesystem::path& folder) {
  return std::filesystem::exists(info_file(folder));
}

CheckpointInfo read_checkpoint_info(const std::filesystem::path& folder) {
  const std::filesystem::path file = info_file(folder);
  CheckpointInfo info;
  try {
    const auto json = nlohmann::json::parse(io::read_text(file));
    info.process = Process::from_json(json.at("process").dump());
    info.parameterisation = Parameterisation::from_json(json.at("parameterisation").dump());
    info.height = json.at("image").at("height").get<std::int64_t>();
    info.width = json.at("image").at("width").get<std::int64_t>();
    info.channels = json.at("image").at("channels").get<std::int64_t>();
    info.step = json.at("step").get<std::int64_t>();
    info.data_name = json.at("data").get<std::string>();
    if (json.contains("null_label")) info.null_label = json.at("null_label").get<std::int64_t>();
  } catch (const nlohmann::json::exception& error) {
    fail("{}: {}; expected process, parameterisation, image, step and data", file.string(), error.what());
  }
  require(info.height > 0 && info.width > 0 && info.channels > 0, "{}: image extents {} x {} x {} must be positive",
          file.string(), info.height, info.width, info.channels);
  return info;
}

void save_checkpoint(const std::filesystem::path& folder, const NetworkScore& model, std::span<const Parameter> average,
                     CheckpointInfo info) {
  save_network(folder, model.network(), WeightKind::raw);
  if (!average.empty()) save_network(folder, model.network(), average, WeightKind::average);
  nlohmann::ordered_json json;
  json["process"] = nlohmann::ordered_json::parse(model.process().json());
  json["parameterisation"] = nlohmann::ordered_json::parse(model.parameterisation().json());
  json["image"] = {{"height", info.height}, {"width", info.width}, {"channels", info.channels}};
  json["step"] = info.step;
  json["data"] = info.data_name;
  if (model.null_label()) json["null_label"] = *model.null_label();
  io::write_file_atomic(info_file(folder), json.dump(2) + "\n");
}

std::unique_ptr<NetworkScore> load_checkpoint(const std::filesystem::path& folder, WeightKind kind, Device device) {
  const CheckpointInfo info = read_checkpoint_info(folder);
  return std::make_unique<NetworkScore>(load_network(folder, kind, device), info.process, info.parameterisation,
                                        info.null_label);
}

WeightKind preferred_weights(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / weights_file_name(WeightKind::average)) ? WeightKind::average
                                                                                  : WeightKind::raw;
}

}  // namespace tweedie
