#include "experiments/common/checkpoint_options.h"

#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include "experiments/common/command_line.h"
#include "nn/io/file.h"

namespace tweedie::experiments {
namespace {

namespace fs = std::filesystem;

/// The image size that a network's config.json states: UNet2DModel's sample_size, the DiT's input_size, the
/// Mlp's height and width.
void read_image_size(const std::string& config, OpenedCheckpoint& opened) {
  const auto json = nlohmann::json::parse(config);
  if (const auto size = json.find("sample_size"); size != json.end()) {
    if (size->is_number_integer()) opened.height = opened.width = size->get<std::int64_t>();
    if (size->is_array() && size->size() == 2) {
      opened.height = size->at(0).get<std::int64_t>();
      opened.width = size->at(1).get<std::int64_t>();
    }
  }
  if (json.contains("input_size")) opened.height = opened.width = json.at("input_size").get<std::int64_t>();
  if (json.contains("height") && json.contains("width")) {
    opened.height = json.at("height").get<std::int64_t>();
    opened.width = json.at("width").get<std::int64_t>();
  }
}

Parameterisation parameterisation_of(const CheckpointOptions& options) {
  Parameterisation result = options.view == "edm" ? Parameterisation::edm(options.sigma_data)
                                                  : Parameterisation::plain(parse_view(options.view));
  if (!options.time_input.empty()) result.time_input = parse_time_input(options.time_input);
  return result;
}

}  // namespace

void add_options(CommandLine& line, CheckpointOptions& options) {
  CLI::App& app = line.app();
  app.add_option("--checkpoint", options.folder, "Folder with config.json and weights, ours or diffusers'")
      ->required()
      ->type_name("DIR")
      ->group("Model");
  app.add_option("--weights", options.weights, "ema (the running average) or raw; ema where there is one")
      ->check(CLI::IsMember({"ema", "raw"}))
      ->type_name("ema|raw")
      ->group("Model");
  const auto bare = [&](const char* name, auto& value, const char* text, const char* type) {
    app.add_option(name, value, text)->type_name(type)->group("Model without tweedie.json");
  };
  bare("--process", options.process, "linear, edm, vp, vp-song or cosine", "NAME");
  bare("--view", options.view, "What the network answers: eps, x0, v, score, or edm for its preconditioning", "NAME");
  bare("--time-input", options.time_input, "What its time embedding takes: 1000t, t, sigma or log_sigma_over_4",
       "NAME");
  bare("--sigma-data", options.sigma_data, "Data spread of --view edm", "NUMBER");
}

OpenedCheckpoint open_checkpoint(const CheckpointOptions& options, Device device) {
  const fs::path folder = options.folder;
  require(fs::is_directory(folder), "{}: no such folder", folder.string());
  OpenedCheckpoint opened;
  opened.folder = options.folder;
  opened.weights = options.weights.empty()    ? preferred_weights(folder)
                   : options.weights == "ema" ? WeightKind::average
                                              : WeightKind::raw;
  const bool described = has_checkpoint_info(folder);
  if (described) {
    for (const auto& [name, value] : {std::pair("--process", &options.process), std::pair("--view", &options.view),
                                      std::pair("--time-input", &options.time_input)})
      if (!value->empty())
        throw UsageError(fmt::format("{} {}: {} says this already", name, *value, (folder / "tweedie.json").string()));
    const CheckpointInfo info = read_checkpoint_info(folder);
    opened.process = info.process;
    opened.parameterisation = info.parameterisation;
    opened.null_label = info.null_label;
    opened.height = info.height;
    opened.width = info.width;
  } else if (!options.process.empty() || !options.view.empty()) {
    if (options.process.empty() || options.view.empty())
      throw UsageError("--process and --view must be given together");
    opened.process = Process::named(options.process);
    opened.parameterisation = parameterisation_of(options);
  }
  const fs::path config = folder / "config.json";
  const std::string text = io::read_text(config);
  opened.network = make_network(text, device, 0, config.string());
  opened.parameters = opened.network->parameters();
  const std::vector<std::string> names = read_parameters(folder / weights_file_name(opened.weights), opened.parameters);
  for (std::size_t i = 0; i < names.size(); ++i) opened.parameters[i].name = names[i];
  if (!described) read_image_size(text, opened);
  return opened;
}

NetworkScore OpenedCheckpoint::score_model() const {
  if (!process || !parameterisation)
    throw UsageError(
        fmt::format("--checkpoint {}: there is no tweedie.json that says what the network answers; give "
                    "--process and --view",
                    folder));
  return NetworkScore(network, *process, *parameterisation, null_label);
}

}  // namespace tweedie::experiments
