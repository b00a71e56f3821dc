#include "experiments/common/model_choice.h"

#include <CLI/App.hpp>

#include "diffusion/closed_form.h"
#include "diffusion/samplers.h"
#include "experiments/common/command_line.h"

namespace tweedie::experiments {
namespace {

ChosenModel chosen_network(const CheckpointOptions& options, Device device) {
  ChosenModel chosen{.model = {}, .name = options.folder, .opened = open_checkpoint(options, device), .network = {}};
  const OpenedCheckpoint& opened = *chosen.opened;
  chosen.network = std::make_shared<NetworkScore>(opened.score_model());
  chosen.model = chosen.network;
  chosen.height = opened.height;
  chosen.width = opened.width;
  chosen.channels = opened.network->in_channels();
  chosen.out_channels = opened.network->out_channels();
  chosen.classes = chosen.network->classes();
  chosen.null_label = chosen.network->null_label();
  chosen.needs_labels = chosen.classes > 0;
  chosen.t_start = sampling_start(chosen.network->process(), chosen.network->parameterisation());
  return chosen;
}

}  // namespace

void add_options(CommandLine& line, ModelChoice& options) {
  CLI::App& app = line.app();
  app.add_option("--model", options.closed_form,
                 "Instead of a checkpoint, a closed form of --data, on --process (linear): " + closed_form_help())
      ->type_name("SPEC")
      ->group("Model");
  add_options(line, options.checkpoint);
  app.get_option("--checkpoint")->required(false);
}

ChosenModel choose_model(const ModelChoice& options, const data::ImageSet* images, std::uint64_t seed, Device device) {
  const std::string& spec = options.closed_form;
  if (spec.empty() && options.checkpoint.folder.empty()) throw UsageError("one of --checkpoint and --model is needed");
  if (spec.empty()) return chosen_network(options.checkpoint, device);
  if (images == nullptr) throw UsageError(fmt::format("--model {}: needs the data that it is made from, --data", spec));
  ChosenModel chosen;
  ClosedFormGround ground{.images = *images, .device = device, .seed = seed, .network = {}};
  if (needs_network(spec)) {
    if (options.checkpoint.folder.empty())
      throw UsageError(fmt::format("--model {}: needs a network beside the exact score, --checkpoint", spec));
    chosen = chosen_network(options.checkpoint, device);
    if (chosen.height > 0 &&
        (chosen.height != images->height || chosen.width != images->width || chosen.channels != images->channels))
      throw UsageError(fmt::format("--model {}: the data's images are {} x {} x {}, the network's {} x {} x {}", spec,
                                   images->height, images->width, images->channels, chosen.height, chosen.width,
                                   chosen.channels));
    ground.process = chosen.model->process();
    ground.network = chosen.model;
  } else {
    const CheckpointOptions& network = options.checkpoint;
    if (!network.folder.empty() || !network.weights.empty() || !network.view.empty() || !network.time_input.empty())
      throw UsageError(
          fmt::format("--model {}: is no network; leave out --checkpoint, --weights, --view and --time-input", spec));
    if (!network.process.empty()) ground.process = Process::named(network.process);
    chosen.t_start = ground.process.t_max();
    chosen.channels = chosen.out_channels = images->channels;
    chosen.classes = spec == "empirical" || spec == "mirrored" ? images->classes : 0;
    if (chosen.classes > 0) chosen.null_label = -1;
  }
  chosen.model = parse_closed_form(spec, ground);
  chosen.name = chosen.name.empty() ? spec : fmt::format("{} with {}", spec, chosen.name);
  chosen.height = images->height;
  chosen.width = images->width;
  return chosen;
}

}  // namespace tweedie::experiments
