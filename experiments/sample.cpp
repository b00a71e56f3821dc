#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/ops/shape.h"
#include "diffusion/data/png.h"
#include "diffusion/guided_score.h"
#include "diffusion/memorization.h"
#include "diffusion/samplers.h"
#include "experiments/common/alignment.h"
#include "experiments/common/command_line.h"
#include "experiments/common/log.h"
#include "experiments/common/model_choice.h"
#include "experiments/common/options.h"
#include "experiments/common/progress.h"
#include "experiments/common/report.h"
#include "experiments/common/resources.h"
#include "experiments/common/run_folder.h"
#include "experiments/common/sample_quality.h"
#include "experiments/common/signals.h"
#include "experiments/common/training.h"
#include "nn/io/npy.h"

namespace tweedie::experiments {
namespace {

const Program program = {
    .name = "sample",
    .description = "Images from a checkpoint or a closed form, from noise or from given images noised to some level.",
    .examples = {
        {"sample --checkpoint run/checkpoints/step-00020000 --n 64 --seed 1 --out samples",
         "64 images by 50 Heun steps: arrays/samples.npy (N, C, H, W), images/samples.png, report.html"},
        {"sample --checkpoint run/checkpoints/step-00020000 --sampler dopri5 --n 64 --out samples",
         "the same flow with adaptive steps"},
        {"sample --checkpoint run/checkpoints/step-00020000 --class 7 --guidance 2 --out sneakers",
         "one class of a network trained with --conditional, guided"},
        {"sample --checkpoint run/checkpoints/step-00020000 --restart-from x.npy --restart-t 0.6 --out restarted",
         "noises the images x (N, C, H, W) to t = 0.6 and takes them back"},
        {"sample --checkpoint run/checkpoints/step-00020000 --n 1000 --data fashion-mnist --resolution 16 --subset "
         "2000 "
         "--out judged",
         "adds distances to held-out images, precision and recall, and what each criterion calls memorised"},
        {"sample --checkpoint run/checkpoints/step-00020000 --n 1000 --data fashion-mnist --resolution 16 --features "
         "encoder/encoder --out judged",
         "takes the distances in the features of an encoder that train_encoder trained on such images"},
        {"sample --model patch:5 --data fashion-mnist --resolution 16 --subset 1000 --n 64 --steps 20 --out patches",
         "images of a closed form: here of patches of 5 x 5 pixels, each as in some training image"},
        {"sample --model hybrid-time:0.8 --checkpoint run/checkpoints/step-00020000 --data fashion-mnist --resolution "
         "16 --subset 2000 --n 64 --out hybrid",
         "the exact score down to t = 0.8, the network from there"},
        {"sample --checkpoint first/checkpoints/step-00020000 --compare-with second/checkpoints/step-00020000 --n 256 "
         "--out pair",
         "do two networks make the same images of the same noise?"},
        {"sample --checkpoint google/ddpm-cifar10-32 --process vp-song --view eps --sampler ancestral --steps 250 --n "
         "16 "
         "--out cifar",
         "a network that diffusers saved"},
    }};

struct Options {
  ComputeOptions compute;
  ModelChoice model;
  DataOptions data{.data = ""};
  std::string out, sampler = "heun", grid, restart_from, compare_with, features;
  bool overwrite = false, keep_noise = false, graph = false;
  std::int64_t n = 16, steps = 50, batch = 16;
  std::optional<double> t_start, t_end, restart_t;
  double noise_scale = 1.0, tolerance = 1e-3;
  double guidance = 1.0;
  std::vector<std::int64_t> labels;
};

void declare(CommandLine& line, Options& options) {
  CLI::App& app = line.app();
  app.add_option("--out", options.out, "Folder of this run; made if absent")
      ->required()
      ->type_name("DIR")
      ->group("Run");
  app.add_flag("--overwrite", options.overwrite, "Delete the run that --out holds")->group("Run")->configurable(false);
  add_options(line, options.model);
  const auto add = [&](const char* name, auto& value, const char* text, const char* type) {
    return app.add_option(name, value, text)->type_name(type)->group("Sampling");
  };
  std::vector<std::string> names;
  for (std::string_view name : sampler_names()) names.emplace_back(name);
  CLI::Option* n = add("--n", options.n, "Number of images", "INT")->check(CLI::PositiveNumber);
  add("--sampler", options.sampler, "euler, heun, dpm++2m, dopri5, euler-maruyama or ancestral", "NAME")
      ->check(CLI::IsMember(names));
  add("--steps", options.steps, "Steps (not of dopri5)", "INT")->check(CLI::PositiveNumber);
  add("--grid", options.grid, "Where they are: uniform, log-snr or edm (the process edm's usual one)", "NAME");
  add("--batch", options.batch, "Images that pass the network at once; the same batch gives the same bits", "INT")
      ->check(CLI::PositiveNumber);
  add("--labels,--class", options.labels, "Classes of a conditional network, taken in turn; all of them by default",
      "INT,...")
      ->delimiter(',');
  add("--guidance", options.guidance,
      "Classifier-free guidance of a network with a null class: 1 none, 0 unconditional, above 1 towards the class",
      "W")
      ->check(CLI::Range(-1e3, 1e3));
  add("--t-start", options.t_start,
      "Where the noise begins: the process's t_max, or 0.999 of it where alpha is 0 and the network answers eps or "
      "score, or is preconditioned as EDM is",
      "NUMBER");
  add("--t-end", options.t_end, "Where the steps end: the process's t_min by default", "NUMBER");
  app.add_flag("--graph", options.graph, "On cuda: give each step to the device as one graph")->group("Sampling");
  app.add_flag("--no-denoise", options.keep_noise, "Keep the noise that is left at --t-end")->group("Sampling");
  add("--noise-scale", options.noise_scale, "Of euler-maruyama and ancestral: 1 the SDE, 0 the ODE", "NUMBER");
  add("--tolerance", options.tolerance, "dopri5's relative tolerance; a tenth of it is the absolute one", "NUMBER");
  CLI::Option* from = add("--restart-from", options.restart_from,
                          "Images (N, C, H, W) to start from: float32, or uint8 (v/127.5 - 1)", "FILE.npy")
                          ->excludes(n);
  CLI::Option* level = add("--restart-t", options.restart_t, "The level they are noised to", "NUMBER")->needs(from);
  from->needs(level);
  app.add_option("--compare-with", options.compare_with,
                 "Another checkpoint: its samples from the same noise, and how they correlate")
      ->type_name("DIR")
      ->group("Measures");
  app.add_option("--features", options.features,
                 "With --data: an encoder's folder, as train_encoder writes it, in whose features distances are taken; "
                 "64 principal components of the held-out images without it")
      ->type_name("DIR")
      ->group("Measures");
  // The data that the network was trained on: with --data, samples are judged beside them.
  add_options(line, options.data);
  app.get_option("--features")->needs(app.get_option("--data"));
  add_options(line, options.compute);
}

/// Images (N, C, H, W) of the restart, on the device as (N, H, W, C).
Tensor read_restart(const std::string& file, const ChosenModel& chosen, Device device) {
  const io::HostArray array = io::read_npy(file);
  const Shape& shape = array.shape;
  require((array.dtype == DType::float32 || array.dtype == DType::uint8) && shape.rank() == 4 && shape[0] > 0 &&
              shape[1] == chosen.channels && (chosen.height == 0 || shape[2] == chosen.height) &&
              (chosen.width == 0 || shape[3] == chosen.width),
          "{}: {} of shape {}, expected float32 or uint8 of shape (N, {}, {}, {})", file, name_of(array.dtype), shape,
          chosen.channels, chosen.height, chosen.width);
  std::vector<float> values = io::to_float32(array);
  for (float& value : values) {
    require(std::isfinite(value), "{}: holds a value that is not finite", file);
    if (array.dtype == DType::uint8) value = value / 127.5F - 1.0F;
  }
  return to_channels_last(Tensor::from_host(std::span<const float>(values), shape, device));
}

/// The labels of `count` samples; none for a model that is asked for no class.
std::vector<std::int64_t> labels_of(const Options& options, const ChosenModel& chosen, std::int64_t count) {
  std::vector<std::int64_t> wanted = options.labels;
  if (chosen.classes == 0 && !wanted.empty()) throw UsageError("--labels: this model is not conditioned on classes");
  if (wanted.empty() && !chosen.needs_labels && options.guidance == 1.0) return {};
  if (wanted.empty()) {
    wanted.resize(static_cast<std::size_t>(chosen.classes));
    std::iota(wanted.begin(), wanted.end(), 0);
  }
  for (std::int64_t label : wanted)
    if (label < 0 || label >= chosen.classes)
      throw UsageError(fmt::format("--labels: {} is outside [0, {})", label, chosen.classes));
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < count; ++i) labels.push_back(wanted[static_cast<std::size_t>(i) % wanted.size()]);
  return labels;
}

SamplerOptions sampler_options(const Options& options, const Process& process) {
  SamplerOptions result{.steps = options.steps,
                        .t_end = options.t_end,
                        .denoise = !options.keep_noise,
                        .seed = options.compute.seed,
                        .noise_scale = options.noise_scale,
                        .relative_tolerance = options.tolerance,
                        .absolute_tolerance = 0.1 * options.tolerance,
                        .batch = options.batch,
                        .graph = options.graph};
  if (!options.grid.empty()) {
    result.grid = parse_time_grid(options.grid);
  } else if (process.name() == "edm") {
    result.grid = TimeGrid::edm;
  }
  return result;
}

/// What is sampled, and where from.
struct Plan {
  std::int64_t count = 0, height = 0, width = 0, channels = 0;
  double t = 0.0;
  std::vector<std::int64_t> labels;
  Tensor restart;  // (N, H, W, C); undefined without one
};

Plan make_plan(const Options& options, const ChosenModel& chosen) {
  Plan plan{.count = options.n,
            .height = chosen.height,
            .width = chosen.width,
            .channels = chosen.channels,
            .t = options.restart_t ? *options.restart_t : options.t_start.value_or(chosen.t_start),
            .labels = {},
            .restart = {}};
  if (!options.restart_from.empty()) {
    plan.restart = read_restart(options.restart_from, chosen, chosen.model->device());
    plan.count = plan.restart.size(0);
    plan.height = plan.restart.size(1);
    plan.width = plan.restart.size(2);
  }
  require(plan.height > 0 && plan.width > 0, "{}/config.json: does not say the images' size (sample_size)",
          chosen.name);
  if (options.guidance != 1.0 && !chosen.null_label)
    throw UsageError(
        "--guidance: this model has no null class; a network gets one by --conditional and a --label-drop above 0");
  plan.labels = labels_of(options, chosen, plan.count);
  return plan;
}

/// All samples, (N, H, W, C).
std::vector<float> draw(const Options& options, ScoreModel& model, const Plan& plan) {
  const Process& process = model.process();
  const Sampler sampler = sampler_named(options.sampler);
  SamplerOptions settings = sampler_options(options, process);
  const std::int64_t rounds = (plan.count + options.batch - 1) / options.batch;
  Progress progress;
  Progress::Stage stage(progress, "sample", options.sampler == "dopri5" ? 0 : rounds * options.steps);
  settings.on_step = [&](const SamplerStep& step) {
    if (stop_requested()) stop("no samples were written");
    if (step.step > 0) stage.advance(1, fmt::format("t = {:.3g}", *std::ranges::max_element(step.t)));
  };
  std::vector<float> samples;
  for (std::int64_t first = 0; first < plan.count; first += options.batch) {
    const std::int64_t count = std::min(options.batch, plan.count - first);
    std::vector<std::int64_t> streams(static_cast<std::size_t>(count));
    std::iota(streams.begin(), streams.end(), first);
    Tensor labels;
    if (!plan.labels.empty())
      labels = Tensor::from_host(std::span(plan.labels).subspan(static_cast<std::size_t>(first), streams.size()),
                                 {count}, model.device());
    const SamplerState start =
        plan.restart.defined()
            ? start_from_data(process, slice(plan.restart, 0, first, count), plan.t, streams, settings.seed, labels)
            : start_from_noise(process, {plan.height, plan.width, plan.channels}, streams, settings.seed,
                               model.device(), labels, plan.t);
    const std::vector<float> values = sampler(model, start, settings).to_host();
    samples.insert(samples.end(), values.begin(), values.end());
  }
  return samples;
}

std::vector<float> channels_first(std::span<const float> samples, const Plan& plan) {
  const Tensor all = Tensor::from_host(samples, {plan.count, plan.height, plan.width, plan.channels}, {});
  return to_channels_first(all).to_host();
}

nlohmann::ordered_json summary(const std::vector<float>& samples, const Plan& plan) {
  double sum = 0.0, squares = 0.0, outside = 0.0;
  for (float value : samples) {
    sum += value;
    outside += std::abs(value) > 1.0F ? 1.0 : 0.0;
  }
  const double count = static_cast<double>(samples.size()), mean = sum / count;
  for (float value : samples) squares += (value - mean) * (value - mean);
  nlohmann::ordered_json results = {{"n", plan.count},
                                    {"pixel_mean", mean},
                                    {"pixel_deviation", std::sqrt(squares / count)},
                                    {"outside_range", outside / count}};
  if (plan.restart.defined()) {
    const std::vector<float> before = plan.restart.to_host();
    double moved = 0.0;
    for (std::size_t i = 0; i < samples.size(); ++i) moved += std::pow(double{samples[i]} - double{before[i]}, 2);
    results["rms_change"] = std::sqrt(moved / count);
  }
  return results;
}

/// The first images as one picture; none for data that are no pictures.
std::vector<Picture> pictures(const RunFolder& run, std::span<const float> samples, const Plan& plan,
                              const std::string& name, const std::string& caption) {
  if (plan.channels != 1 && plan.channels != 3) return {};
  constexpr std::int64_t most = 100;
  const std::int64_t shown = std::min(plan.count, most), pixels = plan.height * plan.width * plan.channels;
  const data::Picture grid = data::image_grid(samples.first(static_cast<std::size_t>(shown * pixels)), plan.height,
                                              plan.width, plan.channels, {.scale = plan.height < 48 ? 2 : 1});
  const std::filesystem::path file = run.images() / (name + ".png");
  data::write_png(file, grid);
  return {picture_from_file(file, fmt::format("{}: {} of {}", caption, shown, plan.count))};
}

/// Samples of a checkpoint from the same noise, and their mean-removed correlation with ours, pair by pair; the mean is
/// that of both models' samples.
nlohmann::ordered_json compare(const Options& options, const std::vector<float>& samples, const Plan& plan,
                               const RunFolder& run) {
  CheckpointOptions other_options;
  if (options.model.closed_form.empty()) other_options = options.model.checkpoint;
  other_options.folder = options.compare_with;
  const OpenedCheckpoint opened = open_checkpoint(other_options, apply(options.compute));
  NetworkScore other = opened.score_model();
  const std::vector<float> others = draw(options, other, plan);
  std::vector<float> both = samples;
  both.insert(both.end(), others.begin(), others.end());
  const std::vector<double> centre = mean_image(data::make_image_set(
      "samples", data::Split::train, {2 * plan.count, plan.height, plan.width, plan.channels}, std::span(both)));
  const std::vector<double> correlations = paired_correlation(samples, others, centre);
  // What chance likeness makes: each sample beside the other network's next one.
  std::vector<float> shifted(others.begin() + plan.height * plan.width * plan.channels, others.end());
  shifted.insert(shifted.end(), others.begin(), others.begin() + plan.height * plan.width * plan.channels);
  const std::vector<double> chance = paired_correlation(samples, shifted, centre);
  io::write_npy(run.arrays() / "compared.npy", channels_first(others, plan),
                {plan.count, plan.channels, plan.height, plan.width});
  io::write_npy(run.arrays() / "correlation.npy", correlations, {plan.count});
  const auto json_of = [&](const std::vector<double>& values) {
    const Estimate estimate = bootstrap_mean(values, {.seed = options.compute.seed});
    return nlohmann::ordered_json{{"value", estimate.value}, {"low", estimate.low}, {"high", estimate.high}};
  };
  return {{"correlation", json_of(correlations)}, {"correlation_of_other_noise", json_of(chance)}};
}

void write_report(const CommandLine& line, const Options& options, const RunFolder& run, const ChosenModel& chosen,
                  const std::vector<float>& samples, const Plan& plan, const nlohmann::ordered_json& results) {
  const bool restarted = plan.restart.defined();
  const Process& process = chosen.model->process();
  Report report("Samples",
                fmt::format("{} images of {} by {} from t = {:.4g} (sigma = {:.4g}, log-SNR = {:.3g}).", plan.count,
                            chosen.name, options.sampler, plan.t, process.sigma(plan.t), process.log_snr(plan.t)));
  report.facts(run_facts(line, std::string(name_of(chosen.model->device().kind)), options.compute.precision,
                         options.compute.seed));
  report.section(restarted ? "Images taken back" : "Images");
  report.gallery(pictures(run, samples, plan, "samples", restarted ? "results" : "samples"), "");
  if (restarted) {
    const std::vector<float> before = plan.restart.to_host();
    report.gallery(pictures(run, before, plan, "restart", "the images before they were noised"), "");
  }
  Table table{.columns = {"quantity", "value"}, .rows = {}};
  for (const auto& [key, value] : results.items())
    if (!value.is_structured()) table.rows.push_back({key, value.dump()});
  report.table(table, "Pixels of all samples, in units where black is -1 and white 1");
  if (results.contains("quality")) add_sample_quality(report, results.at("quality"));
  if (results.contains("compared")) {
    report.section("Two models from the same noise");
    Table pairs{.columns = {"pairs", "mean-removed correlation", "95 % from", "to"}, .rows = {}};
    for (const auto& [key, value] : results.at("compared").items())
      pairs.rows.push_back({key == "correlation" ? "same noise" : "other noise",
                            fmt::format("{:.4f}", value.at("value").get<double>()),
                            fmt::format("{:.4f}", value.at("low").get<double>()),
                            fmt::format("{:.4f}", value.at("high").get<double>())});
    report.table(pairs, fmt::format("Against {}", options.compare_with));
  }
  report.write(run.report());
}

void sample(const Options& options, const CommandLine& line) {
  const Device device = apply(options.compute);
  RunFolder::check(options.out, options.overwrite ? Existing::overwrite : Existing::refuse);
  std::optional<TrainingData> judged_by;
  if (!options.data.data.empty()) judged_by = load_training_data(options.data);
  const ChosenModel chosen =
      choose_model(options.model, judged_by ? &judged_by->train : nullptr, options.compute.seed, device);
  const Process& process = chosen.model->process();
  const Plan plan = make_plan(options, chosen);
  if (judged_by && (judged_by->train.height != plan.height || judged_by->train.width != plan.width ||
                    judged_by->train.channels != plan.channels))
    throw UsageError(fmt::format("--data {}: images of {} x {} x {}, but the samples are of {} x {} x {}",
                                 options.data.data, judged_by->train.height, judged_by->train.width,
                                 judged_by->train.channels, plan.height, plan.width, plan.channels));
  // A closed form needs the data anyway; a few of its samples may be looked at without a judgement.
  const bool judged = judged_by && (options.model.closed_form.empty() || plan.count >= least_judged);
  if (judged && plan.count < least_judged)
    throw UsageError(
        fmt::format("--n {}: with --data samples are judged, which takes {} at least", plan.count, least_judged));
  std::shared_ptr<const FeatureSpace> space;
  if (!options.features.empty()) space = load_features(options.features, judged_by->train, "--features", device);
  std::shared_ptr<ScoreModel> guided = chosen.model;
  if (options.guidance != 1.0)
    guided = std::make_shared<GuidedScore>(chosen.model, *chosen.null_label, options.guidance);
  nlohmann::ordered_json resolved = {{"device", name_of(device.kind)}};
  if (!options.model.closed_form.empty()) resolved["model"] = options.model.closed_form;
  if (chosen.opened) resolved["weights"] = chosen.opened->weights == WeightKind::raw ? "raw" : "ema";
  resolved["process"] = nlohmann::ordered_json::parse(process.json());
  if (chosen.network)
    resolved["parameterisation"] = nlohmann::ordered_json::parse(chosen.network->parameterisation().json());
  resolved["t_start"] = plan.t;
  resolved["t_end"] = options.t_end.value_or(process.t_min());
  resolved["grid"] = name_of(sampler_options(options, process).grid);
  const std::int64_t bytes = plan.count * plan.height * plan.width * plan.channels * std::int64_t{4};
  const std::int64_t parameters = chosen.opened ? chosen.opened->network->parameter_count() : 0;
  announce({.memory_bytes = 3 * bytes + 4 * parameters, .disk_bytes = 2 * bytes}, options.out);
  const RunFolder run(options.out, options.overwrite ? Existing::overwrite : Existing::refuse,
                      run_config(line, resolved));

  const std::vector<float> samples = draw(options, *guided, plan);
  io::write_npy(run.arrays() / "samples.npy", channels_first(samples, plan),
                {plan.count, plan.channels, plan.height, plan.width});
  if (!plan.labels.empty()) io::write_npy(run.arrays() / "labels.npy", plan.labels, {plan.count});
  nlohmann::ordered_json results = summary(samples, plan);
  if (judged) results["quality"] = sample_quality(samples, *judged_by, options.compute.seed, device, space);
  if (!options.compare_with.empty()) results["compared"] = compare(options, samples, plan, run);
  write_report(line, options, run, chosen, samples, plan, results);
  run.write_results(results);
  fmt::print("{}\n", run.report().string());
}

}  // namespace
}  // namespace tweedie::experiments

int main(int argc, char** argv) {
  using namespace tweedie::experiments;
  Options options;
  return run_program(
      argc, argv, program, [&](CommandLine& line) { declare(line, options); },
      [&](const CommandLine& line) { sample(options, line); });
}
