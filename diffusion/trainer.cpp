#include "diffusion/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/loss.h"

namespace tweedie {

Trainer::Trainer(NetworkScore& model, Objective objective, std::shared_ptr<const InputSource> held_out,
                 const TrainerOptions& options, std::shared_ptr<RepresentationAlignment> alignment)
    : model_(model),
      alignment_(std::move(alignment)),
      objective_(std::move(objective)),
      options_(options),
      optimizer_(trained(), options.optimizer),
      statistics_(model.process().t_min(), model.process().t_max()) {
  if (options_.steps < 0 || options_.batch < 1 || options_.log_every < 1)
    throw UsageError(fmt::format("training: {} steps of batch {} logged every {}; expected positive numbers",
                                 options_.steps, options_.batch, options_.log_every));
  require(objective_.source().process() == model.process(), "training: the model's process is {}, the data's {}",
          model.process().json(), objective_.source().process().json());
  if (alignment_) objective_.require_fields(DrawFields::clean, "representation alignment");
  if (options_.graph) graph_ = default_stream(model.device()).make_graph();
  if (held_out && options_.held_out_batch > 0) held_out_ = objective_.denoising(std::move(held_out));
}

Trainer::Losses Trainer::pass(std::uint32_t step, std::int64_t first, std::int64_t count, const Objective& objective,
                              bool held_out) {
  const Objective::Batch batch =
      objective.batch(options_.seed, step, first, count, model_.parameterisation(), held_out);
  ForwardContext context{.training = !held_out, .seed = options_.seed, .step = step, .samples = batch.draw.samples};
  // Data may be labelled and the network unconditional all the same.
  const Tensor labels = model_.network().label_classes() > 0 ? batch.draw.labels : Tensor();
  std::map<std::string, Tensor> taps;
  const bool aligned = alignment_ && !held_out;
  if (aligned) {
    taps[alignment_->layer()] = {};
    context.taps = &taps;
  }
  const Tensor output = model_.output(batch.draw.z, batch.draw.t_told, labels, context);
  const Tensor loss = squared_error(output, batch.target, batch.weight);
  if (!held_out) {
    Tensor total = loss;
    if (aligned)
      total = add(total, scale(alignment_->loss(taps.at(alignment_->layer()), batch.draw.clean), alignment_->weight()));
    total.backward(Tensor::full(loss.shape(), 1.0 / static_cast<double>(options_.batch), loss.device()));
  }
  return {batch.draw.t_told, loss};
}

void Trainer::step_once() {
  const auto step = static_cast<std::uint32_t>(optimizer_.steps_done());
  const std::int64_t piece = options_.micro_batch > 0 ? options_.micro_batch : options_.batch;
  const double before = work_done().flops;
  std::vector<Losses> pieces;
  const auto gradients = [&] {
    for (std::int64_t first = 0; first < options_.batch; first += piece)
      pieces.push_back(pass(step, first, std::min(piece, options_.batch - first), objective_, false));
    optimizer_.form_gradient_norm();
  };
  if (graph_)
    graph_->run(gradients);
  else
    gradients();
  double total = 0.0;
  std::vector<double> t, weighted;
  for (const Losses& losses : pieces) {
    for (const double loss : losses.weighted.to_host_double()) weighted.push_back(loss);
    t.insert(t.end(), losses.t.begin(), losses.t.end());
  }
  for (const double loss : weighted) total += loss;
  const double norm = optimizer_.gradient_norm();
  if (!std::isfinite(total) || !std::isfinite(norm)) explain_nonfinite(step, total, norm);
  last_ = optimizer_.step();
  statistics_.add(t, weighted);
  flops_ += work_done().flops - before;
}

std::vector<Parameter> Trainer::trained() const {
  std::vector<Parameter> all = model_.network().parameters();
  if (!alignment_) return all;
  for (Parameter& parameter : alignment_->parameters()) {
    parameter.name = "alignment." + parameter.name;
    all.push_back(std::move(parameter));
  }
  return all;
}

std::vector<Parameter> Trainer::average() const {
  std::vector<Parameter> averages = optimizer_.average();
  averages.resize(model_.network().parameters().size());
  return averages;
}

void Trainer::clear_gradients() {
  for (const Parameter& parameter : trained()) parameter.value.clear_grad();
}

void Trainer::explain_nonfinite(std::uint32_t step, double loss, double norm) {
  clear_gradients();
  const std::string what =
      fmt::format("training step {}: the loss is {} and the gradient norm {}", step + 1, loss, norm);
  const std::int64_t piece = options_.micro_batch > 0 ? options_.micro_batch : options_.batch;
  try {
    // The same draws again, looking through every result.
    const NonfiniteCheck check;
    for (std::int64_t first = 0; first < options_.batch; first += piece)
      pass(step, first, std::min(piece, options_.batch - first), objective_, false);
  } catch (const Error& error) {
    throw Error(what + "; first, " + error.what() + "; lower --learning-rate, or clip gradients with --clip");
  }
  throw Error(what + "; every single result was finite, their sum was not");
}

LevelStatistics Trainer::held_out_losses() {
  const NoGrad guard;
  LevelStatistics statistics(model_.process().t_min(), model_.process().t_max());
  for (std::int64_t first = 0; first < options_.held_out_batch; first += options_.batch) {
    const Losses losses = pass(0, first, std::min(options_.batch, options_.held_out_batch - first), *held_out_, true);
    statistics.add(losses.t, losses.weighted.to_host_double());
  }
  return statistics;
}

TrainingLog Trainer::make_log() {
  TrainingLog log{.step = optimizer_.steps_done(),
                  .learning_rate = last_.learning_rate,
                  .gradient_norm = last_.gradient_norm,
                  .loss = statistics_.total(),
                  .loss_by_level = statistics_.bins(),
                  .held_out = {},
                  .held_out_average = {},
                  .held_out_by_level = {},
                  .flops = flops_};
  if (held_out_) {
    const LevelStatistics raw = held_out_losses();
    log.held_out = raw.total();
    log.held_out_by_level = raw.bins();
    const WeightScope averaged(model_.network(), average());
    log.held_out_average = held_out_losses().total();
  }
  return log;
}

void Trainer::run(std::int64_t until, const Callbacks& callbacks) {
  until = std::min(until, options_.steps);
  while (optimizer_.steps_done() < until) {
    step_once();
    const std::int64_t done = optimizer_.steps_done();
    if (done % options_.log_every == 0 || done == options_.steps) {
      if (callbacks.log) callbacks.log(make_log());
      statistics_.clear();
    }
    if (callbacks.after_step && !callbacks.after_step(done)) return;
  }
}

TrainingEstimate Trainer::estimate() {
  TrainingEstimate estimate;
  estimate.parameters = model_.network().parameter_count();
  const auto value_bytes = static_cast<std::int64_t>(size_of(float_dtype(model_.device())));
  estimate.bytes_fixed = 5 * estimate.parameters * value_bytes;       // weight, gradient, two moments, average
  estimate.checkpoint_bytes = 4 * estimate.parameters * value_bytes;  // all but the gradient
  Allocator& allocator = default_stream(model_.device()).allocator();
  const auto probe = [&](std::int64_t samples) {
    allocator.reset_peak();
    const std::int64_t before = allocator.statistics().bytes_in_use;
    pass(0, 0, samples, objective_, false).weighted.to_host();
    const std::int64_t peak = allocator.statistics().peak_bytes - before;
    clear_gradients();
    return peak;
  };
  const std::int64_t large = std::min<std::int64_t>(options_.batch, 8), small = std::max<std::int64_t>(1, large / 2);
  const std::int64_t few = probe(small);
  probe(large);  // the first pass of a shape also builds its kernels
  const double flops_before = work_done().flops;
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t more = probe(large);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  const double scale = static_cast<double>(options_.batch) / static_cast<double>(large);
  estimate.flops_per_step = (work_done().flops - flops_before) * scale;
  estimate.seconds_per_step = elapsed.count() * scale;
  estimate.bytes_per_sample = large > small ? std::max<std::int64_t>(0, more - few) / (large - small) : more;
  return estimate;
}

}  // namespace tweedie
