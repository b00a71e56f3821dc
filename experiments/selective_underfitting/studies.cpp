#include "experiments/selective_underfitting/studies.h"

#include <algorithm>
#include <array>

#include "diffusion/data/load.h"
#include "experiments/common/jobs.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/common/signals.h"
#include "nn/io/file.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

struct Entry {
  std::string_view name;
  Study study;
  const char* data;        // points that its networks see; nullptr: images of --data
  StudyScale quick, full;  // of one seed
};
const std::array<Entry, 5>& studies() {
  static const std::array<Entry, 5> all = {
      Entry{"gaussian",
            &gaussian_study,
            "gaussian:20",
            {"mlp:256x4", 4000, 100, 100, 1, 6},
            {"mlp:1000x10", 20000, 100, 100, 1, 6}},
      Entry{"perception",
            &perception_study,
            "gaussian:2",
            {"mlp:128x3", 3000, 256, 1000, 3, 3},
            {"mlp:128x3", 20000, 256, 10000, 3, 3}},
      Entry{"memorising",
            &memorising_study,
            nullptr,
            {"unet:16x1", 1500, 32, 128, 4, 4},
            {"unet-s", 30000, 128, 1000, 8, 8}},
      Entry{
          "guidance", &guidance_study, nullptr, {"unet:16x1", 2000, 32, 128, 1, 9}, {"unet-s", 30000, 128, 1000, 1, 9}},
      Entry{
          "hybrid", &hybrid_study, nullptr, {"unet:16x1", 2000, 32, 128, 1, 20}, {"unet-s", 30000, 128, 1000, 1, 20}}};
  return all;
}

const Entry& entry_of(std::string_view name) {
  const auto found = std::ranges::find(studies(), name, &Entry::name);
  require(found != studies().end(), "no study is called {}", name);
  return *found;
}

}  // namespace

OptimisationOptions study_optimisation(std::int64_t steps) {
  OptimisationOptions options;
  options.steps = steps;
  options.batch = 64;
  options.log_every = std::max<std::int64_t>(steps / 10, 1);
  options.checkpoint_every = 0;
  options.held_out = 0;
  // An average whose memory is a tenth of the run, at most.
  options.average_decay = std::min(0.999, 1.0 - 10.0 / static_cast<double>(std::max<std::int64_t>(steps, 20)));
  return options;
}

std::vector<Json> train_and_look(const NetworkPlan& plan, const data::ImageSet& images,
                                 std::span<const std::int64_t> steps, const StudyContext& context, const Look& look) {
  const auto model = make_model(plan.model, images, context.device, plan.seed);
  Trainer trainer(*model, make_objective(plan.model, on_device(images, context.device), model->process()), nullptr,
                  trainer_options(plan.optimisation, plan.seed));
  const TrainingJob job{
      .name = plan.name, .folder = context.folder.checkpoints() / plan.name, .images = describe(images)};
  std::filesystem::create_directories(job.folder);
  if (context.folder.resumed()) take_up(trainer, job, context.folder);
  std::vector<Json> looks;
  for (const std::int64_t step : steps) {
    const std::filesystem::path file = look_path(job.folder, step);
    if (std::filesystem::exists(file)) {
      looks.push_back(Json::parse(io::read_text(file)));
      continue;
    }
    // An interrupted run may have trained beyond the checkpoint whose look is missing.
    if (trainer.steps_done() > step) trainer.restore(checkpoint_path(job.folder, step));
    if (step > 0) train(trainer, job, step, plan.optimisation.checkpoint_every, context.folder, context.progress);
    const WeightScope averaged(model->network(), trainer.average());
    Json out = look(*model, step);
    out["step"] = step;
    out["flops"] = trainer.flops_done();
    io::write_file_atomic(file, out.dump() + "\n");
    looks.push_back(std::move(out));
    if (stop_requested()) stop(fmt::format("{} is saved at step {}", plan.name, step));
  }
  return looks;
}

std::unique_ptr<NetworkScore> trained_network(const NetworkPlan& plan, const data::ImageSet& images,
                                              const StudyContext& context) {
  const std::int64_t steps[] = {plan.optimisation.steps};
  train_and_look(plan, images, steps, context, [](NetworkScore&, std::int64_t) { return Json::object(); });
  return load_checkpoint(checkpoint_path(context.folder.checkpoints() / plan.name, steps[0]), WeightKind::average,
                         context.device);
}

void train_networks(const std::vector<NetworkTask>& tasks, const StudyContext& context) {
  const auto count = static_cast<std::int64_t>(tasks.size());
  Progress::Stage stage(context.progress, "train networks", count);
  const auto task = [&](std::int64_t i) -> const NetworkTask& { return tasks[static_cast<std::size_t>(i)]; };
  run_jobs(
      count, context.device, [&](std::int64_t i) { trained_network(task(i).plan, *task(i).images, context); },
      [&](std::int64_t i) { stage.advance(1, task(i).plan.name); });
}

Study study_named(std::string_view name) {
  const auto found = std::ranges::find(studies(), name, &Entry::name);
  return found == studies().end() ? nullptr : found->study;
}

std::string known_studies() {
  std::string names;
  for (const Entry& entry : studies()) names += (names.empty() ? "" : ", ") + std::string(entry.name);
  return names;
}

StudyScale scale_of_study(std::string_view name, bool quick, const StudySize& asked, int seeds) {
  const Entry& entry = entry_of(name);
  StudyScale scale = quick ? entry.quick : entry.full;
  if (!asked.network.empty()) scale.network = asked.network;
  if (asked.steps > 0) scale.steps = asked.steps;
  if (asked.samples > 0) scale.samples = asked.samples;
  scale.networks *= seeds;
  scale.samplings *= seeds;
  return scale;
}

RunEstimate estimate_of_study(std::string_view name, const StudyScale& scale, DataOptions data, Device device) {
  const Entry& entry = entry_of(name);
  data::ImageSet few;
  if (entry.data != nullptr) {
    few = data::load_data({.name = entry.data, .subset = 64});
  } else {
    if (data.resolution == 0) data.resolution = 16;
    data.subset = 64;
    few = load_training_data(data).train;
  }
  ModelOptions options;
  options.network = scale.network;
  OptimisationOptions optimisation = study_optimisation(scale.steps);
  optimisation.batch = scale.batch;
  const auto model = make_model(options, few, device, 0);
  Trainer trainer(*model, make_objective(options, on_device(few, device), model->process()), nullptr,
                  trainer_options(optimisation, 0));
  const std::int64_t at_once = jobs_at_once(scale.networks, device);
  const TrainingEstimate training = [&] {
    const JobThreads threads(scale.networks, device);
    return trainer.estimate();
  }();
  // A sampling asks the network forty times a sample, forwards only: a third of a training sample each.
  const double sampled = 40.0 / 3.0 * static_cast<double>(scale.samplings * scale.samples);
  const double steps = static_cast<double>(scale.networks * scale.steps) + sampled / static_cast<double>(scale.batch);
  return {.memory_bytes = at_once * (training.bytes_fixed + scale.batch * training.bytes_per_sample),
          .disk_bytes = scale.networks * training.checkpoint_bytes,
          .seconds = steps * training.seconds_per_step / static_cast<double>(at_once),
          .flops = steps * training.flops_per_step};
}

}  // namespace tweedie::experiments
