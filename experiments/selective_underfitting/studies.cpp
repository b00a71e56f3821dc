#include "experiments/selective_underfitting/studies.h"

#include <algorithm>
#include <array>

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
  std::string_view quick, full;  // cost
};
constexpr std::array studies = {
    Entry{"gaussian", &gaussian_study, "minutes on two cores: an MLP of 4 x 256, 4,000 steps, three seeds",
          "an MLP of 10 x 1000, 20,000 steps a seed, 5.4e13 FLOP each: for a GPU"},
    Entry{"perception", &perception_study, "a minute on two cores: three small MLPs of 3,000 steps",
          "ten minutes on two cores: three small MLPs of 20,000 steps"},
    Entry{"memorising", &memorising_study, "minutes on two cores: four U-Nets of 16 channels, 1,500 steps",
          "eight unet-s of 30,000 steps: for a GPU"},
    Entry{"guidance", &guidance_study, "minutes on two cores: a conditional U-Net of 16 channels, 2,000 steps",
          "a conditional unet-s of 30,000 steps: for a GPU"},
    Entry{"hybrid", &hybrid_study, "minutes on two cores: a U-Net of 16 channels, 2,000 steps",
          "a unet-s of 30,000 steps: for a GPU"}};

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
    const std::filesystem::path file = job.folder / fmt::format("look-{:08}.json", step);
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

Study study_named(std::string_view name) {
  const auto found = std::ranges::find(studies, name, &Entry::name);
  return found == studies.end() ? nullptr : found->study;
}

std::string known_studies() {
  std::string names;
  for (const Entry& entry : studies) names += (names.empty() ? "" : ", ") + std::string(entry.name);
  return names;
}

std::string_view cost_of_study(std::string_view name, bool quick) {
  const auto found = std::ranges::find(studies, name, &Entry::name);
  require(found != studies.end(), "no study is called {}", name);
  return quick ? found->quick : found->full;
}

}  // namespace tweedie::experiments
