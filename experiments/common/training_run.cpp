#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>

#include "experiments/common/json_lines.h"
#include "experiments/common/log.h"
#include "experiments/common/progress.h"
#include "experiments/common/resources.h"
#include "experiments/common/run_folder.h"
#include "experiments/common/signals.h"
#include "experiments/common/training.h"
#include "nn/io/file.h"

namespace tweedie::experiments {
namespace {

constexpr std::string_view step_prefix = "step-";

nlohmann::ordered_json bins_json(const std::vector<LevelStatistics::Bin>& bins) {
  auto list = nlohmann::ordered_json::array();
  for (const LevelStatistics::Bin& bin : bins)
    list.push_back({{"t_low", bin.t_low},
                    {"t_high", bin.t_high},
                    {"n", bin.count},
                    {"mean", bin.mean()},
                    {"se", bin.standard_error()}});
  return list;
}

nlohmann::ordered_json record_of(const TrainingJob& job, const TrainingLog& log) {
  nlohmann::ordered_json record;
  record["model"] = job.name;
  record["step"] = log.step;
  record["learning_rate"] = log.learning_rate;
  record["gradient_norm"] = log.gradient_norm;
  record["flops"] = log.flops;
  record["loss"] = log.loss.mean();
  record["loss_se"] = log.loss.standard_error();
  record["loss_n"] = log.loss.count;
  record["loss_by_level"] = bins_json(log.loss_by_level);
  if (log.held_out) {
    record["held_out_loss"] = log.held_out->mean();
    record["held_out_loss_se"] = log.held_out->standard_error();
    record["held_out_loss_average_weights"] = log.held_out_average->mean();
    record["held_out_by_level"] = bins_json(log.held_out_by_level);
  }
  return record;
}

/// Checkpoints whose writer was killed.
void remove_unfinished(const std::filesystem::path& folder) {
  if (!std::filesystem::is_directory(folder)) return;
  std::vector<std::filesystem::path> unfinished;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(step_prefix) && name.ends_with(".partial")) unfinished.push_back(entry.path());
  }
  for (const std::filesystem::path& path : unfinished) std::filesystem::remove_all(path);
}

}  // namespace

CheckpointInfo describe(const data::ImageSet& images) {
  CheckpointInfo info;
  info.height = images.height;
  info.width = images.width;
  info.channels = images.channels;
  info.data_name = images.name;
  return info;
}

std::filesystem::path checkpoint_path(const std::filesystem::path& folder, std::int64_t step) {
  return folder / fmt::format("{}{:08}", step_prefix, step);
}

std::filesystem::path look_path(const std::filesystem::path& folder, std::int64_t step) {
  return folder / fmt::format("look-{:08}.json", step);
}

std::pair<std::filesystem::path, std::int64_t> newest_checkpoint(const std::filesystem::path& folder,
                                                                 std::int64_t no_later_than) {
  std::pair<std::filesystem::path, std::int64_t> newest{{}, 0};
  if (!std::filesystem::is_directory(folder)) return newest;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(step_prefix)) continue;
    std::int64_t step = 0;
    const char* end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data() + step_prefix.size(), end, step);
    if (error != std::errc() || rest != end) continue;  // one still being written when its run ended
    if (step <= no_later_than && (newest.first.empty() || step > newest.second)) newest = {entry.path(), step};
  }
  return newest;
}

TrainingEstimate prepare(Trainer& trainer, const std::filesystem::path& folder, std::int64_t checkpoints,
                         std::int64_t steps_done) {
  // oneDNN ends the program where it finds no room for the code it generates: better said before.
  require_memory(std::int64_t{64} << 20, "its kernels");
  const TrainingEstimate estimate = trainer.estimate();
  const TrainerOptions& options = trainer.options();
  const std::int64_t left = std::max<std::int64_t>(0, options.steps - steps_done);
  if (steps_done > 0) checkpoints = std::max<std::int64_t>(1, checkpoints * left / options.steps);
  const std::int64_t whole = options.micro_batch > 0 ? std::min(options.micro_batch, options.batch) : options.batch;
  const std::int64_t free = available_memory();
  std::int64_t piece = whole;
  if (options.micro_batch == 0)
    while (piece > 1 && estimate.bytes_fixed + piece * estimate.bytes_per_sample > free - free / 10)
      piece = (piece + 1) / 2;
  log_info("{} parameters; {:.3g} GFLOP and about {:.2g} s a step, {} steps", estimate.parameters,
           estimate.flops_per_step * 1e-9, estimate.seconds_per_step, left);
  announce({.memory_bytes = estimate.bytes_fixed + piece * estimate.bytes_per_sample,
            .disk_bytes = checkpoints * estimate.checkpoint_bytes,
            .seconds = estimate.seconds_per_step * static_cast<double>(left)},
           folder);
  if (piece < options.batch && options.micro_batch == 0) {
    trainer.set_micro_batch(piece);
    log_info("batch of {} passes in pieces of {} to fit into memory", options.batch, piece);
  }
  return estimate;
}

std::int64_t take_up(Trainer& trainer, const TrainingJob& job, RunFolder& run) {
  remove_unfinished(job.folder);
  const auto [folder, step] = newest_checkpoint(job.folder, trainer.options().steps);
  if (!folder.empty()) trainer.restore(folder);
  run.metrics().keep_if([&](const nlohmann::ordered_json& record) {
    return record.value("model", std::string()) != job.name || record.value("step", std::int64_t{0}) <= step;
  });
  if (!folder.empty()) log_info("{}: going on from step {}", job.name, step);
  return step;
}

void train(Trainer& trainer, const TrainingJob& job, std::int64_t until, std::int64_t checkpoint_every, RunFolder& run,
           Progress& progress) {
  until = std::min(until, trainer.options().steps);
  std::filesystem::create_directories(job.folder);
  const auto save = [&] { trainer.save(checkpoint_path(job.folder, trainer.steps_done()), job.images); };
  Progress::Stage stage(progress, "train " + job.name, until, trainer.steps_done());
  std::string note;
  Trainer::Callbacks callbacks;
  callbacks.log = [&](const TrainingLog& log) {
    run.metrics().append(record_of(job, log));
    note = fmt::format("loss {:.4g}", log.loss.mean());
  };
  callbacks.after_step = [&](std::int64_t step) {
    stage.advance(1, note);
    const bool stopping = stop_requested();
    if (stopping || step == until || (checkpoint_every > 0 && step % checkpoint_every == 0)) save();
    if (stopping && step < until) stop(fmt::format("{} is saved at step {}", job.name, step));
    return true;
  };
  trainer.run(until, callbacks);
}

std::vector<nlohmann::ordered_json> look_along(Trainer& trainer, const TrainingJob& job,
                                               std::span<const std::int64_t> steps, std::int64_t checkpoint_every,
                                               RunFolder& run, Progress& progress,
                                               const std::function<nlohmann::ordered_json(std::int64_t step)>& look) {
  std::filesystem::create_directories(job.folder);
  std::vector<nlohmann::ordered_json> looks;
  for (const std::int64_t step : steps) {
    const std::filesystem::path file = look_path(job.folder, step);
    if (std::filesystem::exists(file)) {
      looks.push_back(nlohmann::ordered_json::parse(io::read_text(file)));
      continue;
    }
    // An interrupted run may have trained beyond the checkpoint whose look is missing.
    if (trainer.steps_done() > step) trainer.restore(checkpoint_path(job.folder, step));
    train(trainer, job, step, checkpoint_every, run, progress);
    const Progress::Stage stage(progress, fmt::format("look at {} at step {}", job.name, step));
    looks.push_back(look(step));
    io::write_file_atomic(file, looks.back().dump() + "\n");
    if (stop_requested()) stop(fmt::format("{} is saved at step {}", job.name, step));
  }
  return looks;
}

}  // namespace tweedie::experiments
