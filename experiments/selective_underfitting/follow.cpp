#include <algorithm>

#include "diffusion/checkpoint.h"
#include "diffusion/statistics.h"
#include "experiments/common/jobs.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/selective_underfitting/study.h"
#include "nn/io/file.h"

namespace tweedie::experiments {
namespace {

std::string job_name(const StudyPlan& plan, const std::string& network, std::uint64_t seed) {
  std::string name = fmt::format("{}-{}-seed{}", plan.name, network, seed);
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == ':' || c == '/'; }, '_');
  return name;
}

/// What examining a finished network costs, in training samples of three forward passes: forty sampler evaluations a
/// sample, and restarts from twenty levels, 420 evaluations each.
double examination_samples(const StudyPlan& plan) {
  return (40.0 * static_cast<double>(std::max(plan.samples, plan.probes)) +
          420.0 * static_cast<double>(plan.restarts)) /
         3.0;
}

std::int64_t steps_of(const StudyPlan& plan) {
  return *std::max_element(plan.checkpoints.begin(), plan.checkpoints.end());
}

std::filesystem::path examination_file(const StudyPlan& plan, std::uint64_t seed, const RunFolder& folder) {
  return folder.checkpoints() / job_name(plan, plan.networks.back(), seed) / "examined.json";
}

nlohmann::ordered_json region_json(const ProbeRecords& records, const char* weights) {
  const std::vector<double> error = records.error_by_sample(), v_error = records.v_error_by_sample();
  nlohmann::ordered_json json;
  json["region"] = records.region;
  json["weights"] = weights;
  json["error"] = mean(error);
  json["v_error"] = mean(v_error);
  json["se"] = standard_error(error);
  json["n"] = records.count;
  json["by_sample"] = error;
  auto levels = nlohmann::ordered_json::array();
  for (std::size_t level = 0; level < records.t.size(); ++level)
    levels.push_back({{"t", records.t[level]},
                      {"error", mean(records.at_level(level))},
                      {"se", standard_error(records.at_level(level))}});
  json["levels"] = levels;
  return json;
}

/// Throws UsageError where the data are not enough for the plan.
void require_suitable(const StudyPlan& plan, const TrainingData& data) {
  if (!data.held_out)
    throw UsageError(fmt::format("--data {}: this experiment needs held-out images, and the data have no test split",
                                 plan.data.data));
  if (data.train.count < plan.probes || data.held_out->count < std::max(plan.probes, plan.samples))
    throw UsageError(fmt::format("{} training and {} held-out images are too few for {} probes and {} samples",
                                 data.train.count, data.held_out->count, plan.probes, plan.samples));
  if (plan.optimisation.batch > data.train.count)
    throw UsageError(
        fmt::format("--batch {} is larger than the data, {} images", plan.optimisation.batch, data.train.count));
  if (Process::named(plan.model.process).name() != "linear")
    throw UsageError(fmt::format("--process {}: this experiment's levels and restarts are those of the linear path",
                                 plan.model.process));
  if (plan.model.view != "x0" && plan.model.view != "v")
    throw UsageError(fmt::format("--view {}: this experiment samples from t = 1, where only x0 and v say anything",
                                 plan.model.view));
}

/// The regions under the weights that the model holds now. Those that need the model's own samples cost most of a look.
void look(ScoreModel& model, const StudyPlan& plan, const StudyGround& ground, const char* weights, bool own_samples,
          bool keep_records, const std::filesystem::path& arrays, nlohmann::ordered_json& out) {
  const auto note = [&](const ProbeReference& reference) {
    const ProbeRecords records = probe(model, reference);
    out["regions"].push_back(region_json(records, weights));
    if (keep_records) write_records(arrays / fmt::format("{}_{}.npz", records.region, weights), reference, records);
  };
  note(ground.supervised);
  note(ground.unseen);
  if (!own_samples) return;
  Generation generation = generate(model, ground, plan.probes);
  note(reference_at(std::move(generation.trajectory), *ground.empirical, ground.process));

  const Device device = model.device();
  DeviceImages images{.pixels = {},
                      .height = ground.train.height,
                      .width = ground.train.width,
                      .channels = ground.train.channels,
                      .labels = {}};
  images.pixels = Tensor::from_host(generation.images, {plan.probes, images.dimensions()}, device);
  note(
      reference_at(noised_states("regenerated", images, ground.process, probe_levels(), plan.probes, ground.probe_seed),
                   *ground.empirical, ground.process));
  const std::vector<float> features = ground.features->features(generation.images);
  out["frechet"][weights] =
      frechet_distance(feature_moments(features, ground.features->dimension()), ground.held_out_moments);
}

}  // namespace

Generation generate(ScoreModel& model, const StudyGround& ground, std::int64_t count) {
  return generate(model, {ground.train.height, ground.train.width, ground.train.channels}, count, ground.probe_seed);
}

StudyGround lay_ground(const StudyPlan& plan, Device device, std::uint64_t probe_seed) {
  StudyGround ground;
  TrainingData data = load_training_data(plan.data);
  require_suitable(plan, data);
  ground.train = std::move(data.train);
  ground.held_out = std::move(*data.held_out);
  ground.process = Process::named(plan.model.process);
  ground.probe_seed = probe_seed;
  ground.train_images = on_device(ground.train, device);
  ground.held_out_images = on_device(ground.held_out, device);
  ground.empirical = std::make_shared<EmpiricalScore>(ground.train, device);
  ground.supervised =
      reference_at(noised_states("sup", *ground.train_images, ground.process, probe_levels(), plan.probes, probe_seed),
                   *ground.empirical, ground.process);
  ground.unseen = reference_at(
      noised_states("heldout", *ground.held_out_images, ground.process, probe_levels(), plan.probes, probe_seed),
      *ground.empirical, ground.process);
  ground.features = std::make_shared<PrincipalFeatures>(ground.held_out, 64);
  ground.held_out_moments = feature_moments(ground.features->features(ground.held_out), ground.features->dimension());
  return ground;
}

void follow_network(const StudyPlan& plan, const StudyGround& ground, const std::string& network, std::uint64_t seed,
                    Device device, RunFolder& folder, Progress& progress) {
  ModelOptions model_options = plan.model;
  model_options.network = network;
  const auto model = make_model(model_options, ground.train, device, seed);
  OptimisationOptions optimisation = plan.optimisation;
  optimisation.steps = steps_of(plan);
  Trainer trainer(*model, make_objective(model_options, ground.train_images, model->process()),
                  std::make_shared<NoisedData>(ground.held_out_images, model->process()),
                  trainer_options(optimisation, seed));
  const TrainingJob job{.name = job_name(plan, network, seed),
                        .folder = folder.checkpoints() / job_name(plan, network, seed),
                        .images = describe(ground.train)};
  if (folder.resumed()) take_up(trainer, job, folder);
  look_along(trainer, job, plan.checkpoints, optimisation.checkpoint_every, folder, progress, [&](std::int64_t step) {
    nlohmann::ordered_json out{
        {"data", plan.data.data}, {"model", network}, {"seed", seed}, {"step", step}, {"flops", trainer.flops_done()}};
    const bool last = step == steps_of(plan);
    const std::filesystem::path arrays = folder.arrays() / job.name;
    if (last) std::filesystem::create_directories(arrays);
    look(*model, plan, ground, "raw", last, last, arrays, out);
    const WeightScope averaged(model->network(), trainer.average());
    look(*model, plan, ground, "ema", true, last, arrays, out);
    return out;
  });
  const std::filesystem::path file = examination_file(plan, seed, folder);
  if (network != plan.networks.back() || std::filesystem::exists(file)) return;
  const auto averaged = load_checkpoint(checkpoint_path(job.folder, steps_of(plan)), WeightKind::average, device);
  io::write_file_atomic(file, examine(plan, ground, *averaged, network, seed, folder, progress).dump() + "\n");
}

std::vector<nlohmann::ordered_json> finished_looks(const StudyPlan& plan, const std::string& network,
                                                   std::uint64_t seed, const RunFolder& folder) {
  std::vector<nlohmann::ordered_json> looks;
  for (const std::int64_t step : plan.checkpoints)
    looks.push_back(nlohmann::ordered_json::parse(
        io::read_text(look_path(folder.checkpoints() / job_name(plan, network, seed), step))));
  return looks;
}

nlohmann::ordered_json finished_examination(const StudyPlan& plan, std::uint64_t seed, const RunFolder& folder) {
  return nlohmann::ordered_json::parse(io::read_text(examination_file(plan, seed, folder)));
}

RunEstimate estimate_of(const std::vector<StudyPlan>& plans, Device device) {
  RunEstimate estimate;
  for (const StudyPlan& plan : plans) {
    const auto networks = static_cast<std::int64_t>(plan.networks.size() * plan.seeds.size());
    const std::int64_t at_once = jobs_at_once(networks, device);
    const JobThreads threads(networks, device);
    const TrainingData data = load_training_data(plan.data);
    require_suitable(plan, data);
    const auto images = on_device(data.train, device);
    const std::int64_t held_out = data.held_out->count;
    for (const std::string& network : plan.networks) {
      ModelOptions model_options = plan.model;
      model_options.network = network;
      const auto model = make_model(model_options, data.train, device, 0);
      OptimisationOptions optimisation = plan.optimisation;
      optimisation.steps = steps_of(plan);
      Trainer trainer(*model, make_objective(model_options, images, model->process()), nullptr,
                      trainer_options(optimisation, 0));
      const TrainingEstimate training = trainer.estimate();
      const auto seeds = static_cast<double>(plan.seeds.size());
      // A look asks the network, forwards only, at four regions of nine levels and along forty sampler evaluations; a
      // training sample costs three forwards.
      const double look_samples = 1.3 * static_cast<double>(plan.probes) * (4.0 * 9.0 + 40.0) / 3.0;
      const double batch = static_cast<double>(optimisation.batch);
      const double looks = look_samples / batch * static_cast<double>(plan.checkpoints.size());
      const double examined = network == plan.networks.back() ? examination_samples(plan) / batch : 0.0;
      const double steps = seeds * (static_cast<double>(optimisation.steps) + looks + examined);
      estimate.seconds += training.seconds_per_step * steps / static_cast<double>(at_once);
      estimate.flops += training.flops_per_step * steps;
      const std::int64_t kept =
          static_cast<std::int64_t>(plan.checkpoints.size()) +
          (optimisation.checkpoint_every > 0 ? optimisation.steps / optimisation.checkpoint_every : 0);
      estimate.disk_bytes += static_cast<std::int64_t>(seeds) * kept * training.checkpoint_bytes;
      const std::int64_t data_bytes = (data.train.count + held_out) * data.train.dimension() * 4;
      estimate.memory_bytes =
          std::max(estimate.memory_bytes,
                   at_once * (training.bytes_fixed + optimisation.batch * training.bytes_per_sample) + 2 * data_bytes);
    }
  }
  return estimate;
}

}  // namespace tweedie::experiments
