#include <CLI/App.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "autograd/ops/loss.h"
#include "autograd/ops/shape.h"
#include "diffusion/likelihood.h"
#include "diffusion/samplers.h"
#include "experiments/common/command_line.h"
#include "experiments/common/log.h"
#include "experiments/common/model_choice.h"
#include "experiments/common/options.h"
#include "experiments/common/progress.h"
#include "experiments/common/signals.h"
#include "experiments/common/training.h"
#include "nn/io/npz.h"

namespace tweedie::experiments {
namespace {

const Program program = {
    .name = "evaluate_score",
    .description = "The score of a checkpoint or of a closed form at given points; a network's loss and gradients.",
    .examples = {
        {"evaluate_score --checkpoint run/checkpoints/step-00020000 --points z.npy --t t.npy --out o.npz",
         "writes eps, x0, v and score at the points z (N, C, H, W) and levels t (N), and the network's raw output"},
        {"evaluate_score --checkpoint run/checkpoints/step-00020000 --weights raw --points z.npy --t t.npy --target "
         "y.npy "
         "--grads g.safetensors --out o.npz",
         "adds each sample's squared error of the raw output against y, and the gradients of its mean"},
        {"evaluate_score --checkpoint run/checkpoints/step-00020000 --points x.npy --likelihood 4 --bin-width 0.00784 "
         "--out o.npz",
         "the log-likelihood of clean images under the probability-flow ODE, its divergence by 4 random signs each"},
        {"evaluate_score --model gaussian --data fashion-mnist --points z.npy --t t.npy --out o.npz",
         "the same views of a closed form, here of Wiener's denoiser of the training images"},
        {"evaluate_score --checkpoint google/ddpm-cifar10-32 --points z.npy --timesteps ts.npy --out o.npz",
         "queries a network that diffusers saved as it is queried there"},
    }};

struct Options {
  ComputeOptions compute;
  ModelChoice model;
  DataOptions data{.data = ""};  // of a closed form
  std::string points, t, timesteps, labels, target, grads, out;
  std::vector<std::string> views = {"eps", "x0", "v", "score"};
  std::int64_t batch = 32;
  std::optional<std::int64_t> likelihood;
  double bin_width = 1.0, tolerance = 1e-4;
};

void declare(CommandLine& line, Options& options) {
  CLI::App& app = line.app();
  add_options(line, options.model);
  add_options(line, options.data);
  const auto file = [&](const char* name, std::string& value, const char* text, const char* type = "FILE.npy") {
    return app.add_option(name, value, text)->type_name(type)->group("Query");
  };
  file("--points", options.points, "Where: float32 (N, C, H, W)")->required();
  CLI::Option* t = file("--t", options.t, "Noise levels (N): answers in all views");
  file("--timesteps", options.timesteps, "Instead of --t: values (N) for the time embedding, unchanged")->excludes(t);
  file("--labels", options.labels, "Classes (N), int64, of a conditional network");
  CLI::Option* target =
      file("--target", options.target, "What the raw output should be: float32 (N, C, H, W); adds `loss`");
  file("--grads", options.grads, "Where to write the gradients of the mean loss", "FILE.safetensors")->needs(target);
  app.add_option("--views", options.views, "Which views to write")
      ->delimiter(',')
      ->type_name("NAME,...")
      ->group("Query");
  file("--out", options.out, "What to write", "FILE.npz")->required();
  app.add_option("--batch", options.batch, "Points that pass the network at once")
      ->check(CLI::PositiveNumber)
      ->group("Query");
  const auto likelihood = [&](const char* name, auto& value, const char* text) {
    return app.add_option(name, value, text)->group("Likelihood");
  };
  CLI::Option* probes = likelihood("--likelihood", options.likelihood,
                                   "Instead of --t: log_likelihood and bits_per_dim of clean --points; the number of "
                                   "random signs for the divergence, 0: exactly, one pass a dimension")
                            ->check(CLI::NonNegativeNumber)
                            ->excludes(t)
                            ->type_name("PROBES");
  likelihood("--bin-width", options.bin_width,
             "Of bits_per_dim: the side of a pixel's cell, 1/127.5 for dequantised bytes; 1: differential bits")
      ->check(CLI::PositiveNumber)
      ->needs(probes);
  likelihood("--tolerance", options.tolerance, "Of the adaptive integration, relative and absolute")
      ->check(CLI::PositiveNumber)
      ->needs(probes);
  add_options(line, options.compute);
}

/// A query's arrays, checked.
struct Query {
  io::HostArray points;
  std::optional<io::HostArray> labels, target;
  std::vector<double> levels;  // t, or timesteps

  std::int64_t count() const { return points.shape[0]; }
  std::int64_t pixels() const { return points.shape.count_between(1, 4); }
};

io::HostArray read_pictures(const std::string& file, std::int64_t channels) {
  io::HostArray array = io::read_npy(file);
  require(array.dtype == DType::float32 && array.shape.rank() == 4 && array.shape[1] == channels,
          "{}: {} of shape {}, expected float32 of shape (N, {}, H, W)", file, name_of(array.dtype), array.shape,
          channels);
  for (float value : array.as<float>()) require(std::isfinite(value), "{}: holds a value that is not finite", file);
  return array;
}

std::vector<double> read_levels(const std::string& file, std::int64_t count) {
  const io::HostArray array = io::read_npy(file);
  require(array.dtype != DType::uint8 && array.shape == Shape({count}),
          "{}: {} of shape {}, expected float32, float64 or int64 of shape ({})", file, name_of(array.dtype),
          array.shape, count);
  const auto widened = [](auto values) { return std::vector<double>(values.begin(), values.end()); };
  std::vector<double> levels = array.dtype == DType::float64 ? widened(array.as<double>())
                               : array.dtype == DType::int64 ? widened(array.as<std::int64_t>())
                                                             : widened(array.as<float>());
  for (double level : levels) require(std::isfinite(level), "{}: holds a value that is not finite", file);
  return levels;
}

io::HostArray read_labels(const std::string& file, std::int64_t count, std::int64_t classes) {
  io::HostArray labels = io::read_npy(file);
  require(labels.shape.rank() >= 1 && labels.shape[0] == count, "{}: shape {}, expected ({})", file, labels.shape,
          count);
  if (classes == 0) return labels;  // the network says what it takes
  require(labels.dtype == DType::int64 && labels.shape.rank() == 1, "{}: {} of shape {}, expected int64 of shape ({})",
          file, name_of(labels.dtype), labels.shape, count);
  for (std::int64_t label : labels.as<std::int64_t>())
    require(label >= 0 && label < classes, "{}: label {} is outside [0, {})", file, label, classes);
  return labels;
}

/// What a query must fit.
struct Asked {
  std::int64_t in_channels = 0, out_channels = 0, classes = 0;
  bool needs_labels = false;
};
Asked asked_of(const Network& network) {
  return {network.in_channels(), network.out_channels(), network.label_classes(), network.label_classes() > 0};
}
Asked asked_of(const ChosenModel& chosen) {
  if (chosen.network) return asked_of(chosen.network->network());
  return {chosen.channels, chosen.channels, chosen.classes, false};
}

Query read_query(const Options& options, const Asked& asked) {
  Query query;
  query.points = read_pictures(options.points, asked.in_channels);
  require(query.count() > 0, "{}: no points", options.points);
  if (!options.likelihood) query.levels = read_levels(options.t.empty() ? options.timesteps : options.t, query.count());
  if (!options.labels.empty()) query.labels = read_labels(options.labels, query.count(), asked.classes);
  if (asked.needs_labels && options.labels.empty())
    throw UsageError(fmt::format("--labels: needed by this network of {} classes", asked.classes));
  if (!options.target.empty()) {
    query.target = read_pictures(options.target, asked.out_channels);
    require(query.target->shape == query.points.shape || asked.in_channels != asked.out_channels,
            "{}: shape {}, expected that of the points, {}", options.target, query.target->shape, query.points.shape);
  }
  return query;
}

/// Rows [first, first + count) on the device.
Tensor rows_of(const io::HostArray& array, std::int64_t first, std::int64_t count, Device device) {
  Shape shape = array.shape;
  shape[0] = count;
  const auto per_row = static_cast<std::size_t>(array.shape.count_between(1, array.shape.rank()));
  const auto part = [&](auto values) {
    return Tensor::from_host(
        values.subspan(static_cast<std::size_t>(first) * per_row, static_cast<std::size_t>(count) * per_row), shape,
        device);
  };
  if (array.dtype == DType::int64) return part(array.as<std::int64_t>());
  if (array.dtype == DType::float64) return part(array.as<double>());
  return part(array.as<float>());
}

/// The raw output at all points, (N, C, H, W); with `gradients` also those of the mean loss, in the parameters.
std::vector<float> raw_output(const Options& options, OpenedCheckpoint& opened, const Query& query, bool gradients) {
  const Device device = opened.network->device();
  std::optional<NetworkScore> model;
  if (!options.t.empty()) model = opened.score_model();
  std::optional<NoGrad> guard;
  if (!gradients) guard.emplace();
  std::vector<float> output;
  Progress progress;
  Progress::Stage stage(progress, "evaluate", query.count());
  for (std::int64_t first = 0; first < query.count(); first += options.batch) {
    if (stop_requested()) stop("nothing was written");
    const std::int64_t count = std::min(options.batch, query.count() - first);
    const std::span<const double> levels =
        std::span(query.levels).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    const Tensor z = to_channels_last(rows_of(query.points, first, count, device));
    const Tensor labels = query.labels ? rows_of(*query.labels, first, count, device) : Tensor();
    ForwardContext context;
    const Tensor answer = model
                              ? model->output(z, levels, labels, context)
                              : opened.network->forward(z, Tensor::from_host(levels, {count}, device), labels, context);
    if (gradients) {
      const Tensor loss = squared_error(answer, to_channels_last(rows_of(*query.target, first, count, device)));
      loss.backward(Tensor::full({count}, 1.0 / static_cast<double>(query.count()), device));
    }
    const std::vector<float> values = to_channels_first(answer.detach()).to_host();
    output.insert(output.end(), values.begin(), values.end());
    stage.advance(count);
  }
  return output;
}

/// Each sample's mean squared difference, in double.
std::vector<float> losses(std::span<const float> output, std::span<const float> target, std::int64_t count) {
  const std::size_t pixels = output.size() / static_cast<std::size_t>(count);
  std::vector<float> result;
  for (std::size_t n = 0; n < static_cast<std::size_t>(count); ++n) {
    double sum = 0.0;
    for (std::size_t i = n * pixels; i < (n + 1) * pixels; ++i)
      sum += (double{output[i]} - double{target[i]}) * (double{output[i]} - double{target[i]});
    result.push_back(static_cast<float>(sum / static_cast<double>(pixels)));
  }
  return result;
}

/// The raw output as a view, in double before it is rounded.
std::vector<float> in_view(const NetworkScore& model, const Query& query, std::span<const float> output, View view) {
  const std::span<const float> z = query.points.as<float>();
  const auto pixels = static_cast<std::size_t>(query.pixels());
  std::vector<float> result(output.size());
  for (std::size_t n = 0; n < query.levels.size(); ++n) {
    const ViewConversion c = conversion(model.process(), query.levels[n], model.parameterisation(), view);
    for (std::size_t i = n * pixels; i < (n + 1) * pixels; ++i)
      result[i] = static_cast<float>(c.p * double{output[i]} + c.q * double{z[i]});
  }
  return result;
}

void write_gradients(const std::string& file, const OpenedCheckpoint& opened) {
  std::vector<Parameter> gradients;
  for (const Parameter& parameter : opened.parameters) {
    if (!parameter.value.requires_grad()) continue;  // saved but not trained
    const Tensor gradient = parameter.value.grad();
    gradients.push_back(
        {parameter.name,
         gradient.defined() ? gradient : Tensor::zeros(parameter.value.shape(), parameter.value.device()),
         parameter.layout});
  }
  write_parameters(file, gradients);
}

ChosenModel chosen_model(const Options& options, Device device) {
  std::optional<TrainingData> data;
  if (!options.data.data.empty()) data = load_training_data(options.data);
  return choose_model(options.model, data ? &data->train : nullptr, options.compute.seed, device);
}

void evaluate_likelihood(const Options& options) {
  if (!options.timesteps.empty() || !options.target.empty())
    throw UsageError("--likelihood: of clean points, to which --timesteps and --target say nothing");
  const ChosenModel chosen = chosen_model(options, apply(options.compute));
  ScoreModel& model = *chosen.model;
  const Query query = read_query(options, asked_of(chosen));
  io::NpzWriter writer(options.out);
  Progress progress;
  Progress::Stage stage(progress, "likelihood", query.count());
  std::vector<double> values;
  for (std::int64_t first = 0; first < query.count(); first += options.batch) {
    const std::int64_t count = std::min(options.batch, query.count() - first);
    const LikelihoodOptions settings{.probes = *options.likelihood,
                                     .relative_tolerance = options.tolerance,
                                     .absolute_tolerance = options.tolerance,
                                     .t_start = chosen.t_start,
                                     .seed = options.compute.seed,
                                     .first_sample = first,
                                     .batch = options.batch,
                                     .on_step = [] {
                                       if (stop_requested()) stop("nothing was written");
                                     }};
    const std::vector<double> part =
        log_likelihood(model, to_channels_last(rows_of(query.points, first, count, model.device())), settings,
                       query.labels ? rows_of(*query.labels, first, count, model.device()) : Tensor());
    values.insert(values.end(), part.begin(), part.end());
    stage.advance(count);
  }
  writer.add("log_likelihood", values, {query.count()});
  writer.add("bits_per_dim", bits_per_dimension(values, query.pixels(), options.bin_width), {query.count()});
  writer.commit();
}

/// The views of a model in closed form, (N, C, H, W) each.
void evaluate_closed_form(const Options& options, const std::vector<View>& views) {
  if (!options.timesteps.empty() || !options.target.empty())
    throw UsageError("--timesteps and --target: of networks alone; a closed form answers --t");
  const ChosenModel chosen = chosen_model(options, apply(options.compute));
  const Query query = read_query(options, asked_of(chosen));
  io::NpzWriter writer(options.out);
  Progress progress;
  Progress::Stage stage(progress, "evaluate", query.count() * static_cast<std::int64_t>(views.size()));
  const NoGrad guard;
  for (const View view : views) {
    std::vector<float> values;
    for (std::int64_t first = 0; first < query.count(); first += options.batch) {
      if (stop_requested()) stop("nothing was written");
      const std::int64_t count = std::min(options.batch, query.count() - first);
      const std::span<const double> levels =
          std::span(query.levels).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
      const Device device = chosen.model->device();
      const Tensor labels = query.labels ? rows_of(*query.labels, first, count, device) : Tensor();
      const Tensor z = to_channels_last(rows_of(query.points, first, count, device));
      const std::vector<float> part = to_channels_first(chosen.model->predict(z, levels, view, labels)).to_host();
      values.insert(values.end(), part.begin(), part.end());
      stage.advance(count);
    }
    for (const float value : values)
      require(std::isfinite(value), "{}: {} is not finite at a point", options.points, name_of(view));
    writer.add(std::string(name_of(view)), values, query.points.shape);
  }
  writer.commit();
  log_info("{}: {} points, {}", options.out, query.count(), chosen.name);
}

void evaluate(const Options& options) {
  if (options.likelihood) return evaluate_likelihood(options);
  if (options.t.empty() == options.timesteps.empty())
    throw UsageError("one of --t, --timesteps and --likelihood is needed");
  std::vector<View> views;
  for (const std::string& name : options.views) views.push_back(parse_view(name));
  if (!options.model.closed_form.empty()) return evaluate_closed_form(options, views);
  if (options.model.checkpoint.folder.empty()) throw UsageError("one of --checkpoint and --model is needed");
  const Device device = apply(options.compute);
  OpenedCheckpoint opened = open_checkpoint(options.model.checkpoint, device);
  std::optional<NetworkScore> model;
  if (!options.t.empty()) model = opened.score_model();
  const Query query = read_query(options, asked_of(*opened.network));
  if (model)  // before the work: can all be answered?
    for (double t : query.levels)
      for (View view : views) conversion(*opened.process, t, *opened.parameterisation, view);

  const bool gradients = !options.grads.empty();
  io::NpzWriter writer(options.out);
  if (gradients) io::AtomicFile(options.grads);  // that it can be written, before the work
  const std::vector<float> output = raw_output(options, opened, query, gradients);
  for (float value : output) require(std::isfinite(value), "{}: the network's output is not finite", options.points);

  Shape shape = query.points.shape;
  shape[1] = opened.network->out_channels();
  if (model)
    for (View view : views) writer.add(std::string(name_of(view)), in_view(*model, query, output, view), shape);
  if (query.target) writer.add("loss", losses(output, query.target->as<float>(), query.count()), {query.count()});
  writer.add("model_output", output, shape);
  if (gradients) write_gradients(options.grads, opened);
  writer.commit();
  log_info("{}: {} points, {} weights", options.out, query.count(), opened.weights == WeightKind::raw ? "raw" : "ema");
}

}  // namespace
}  // namespace tweedie::experiments

int main(int argc, char** argv) {
  using namespace tweedie::experiments;
  Options options;
  return run_program(
      argc, argv, program, [&](CommandLine& line) { declare(line, options); },
      [&](const CommandLine&) { evaluate(options); });
}
