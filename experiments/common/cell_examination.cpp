#include <nlohmann/json.hpp>

#include "diffusion/statistics.h"
#include "experiments/common/cell_study.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "nn/io/npz.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

Json by_level(const ProbeRecords& records) {
  Json levels = Json::array();
  for (std::size_t level = 0; level < records.t.size(); ++level) levels.push_back(mean(records.at_level(level)));
  return levels;
}

}  // namespace

Generation generate(ScoreModel& model, const CellGround& ground, const CellOptions& options) {
  const data::ImageSet& images = ground.score_set;
  return generate(model, {images.height, images.width, images.channels}, options.samples, 0, 1.0, {}, options.probes);
}

Examination examine(ScoreModel& model, const CellGround& ground, const CellOptions& options) {
  Examination seen{.generation = generate(model, ground, options), .near = {}, .sup = {}, .ext = {}, .unseen = {}};
  seen.near = neighbour_measures(seen.generation.images, *ground.empirical);
  seen.sup = probe(model, ground.supervised);
  seen.ext = probe(model, reference_at(seen.generation.trajectory, *ground.empirical, ground.process));
  seen.unseen = probe(model, ground.unseen);
  return seen;
}

Json measures_of(const Examination& seen, const CellGround& ground, const CellOptions& options) {
  const std::vector<double> levels = {0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0};
  const FeatureMoments moments =
      feature_moments(ground.features->features(seen.generation.images), ground.features->dimension());
  return {{"memorised", fractions_json(memorised_fractions(seen.near))},
          {"memorised_heldout", fractions_json(memorised_fractions(ground.held_out_neighbours))},
          {"m_quantiles", quantiles(seen.near.m, levels)},
          {"n", options.samples},
          {"frechet", frechet_distance(moments, ground.held_out_moments)},
          {"sup_error", mean(seen.sup.error_by_sample())},
          {"ext_error", mean(seen.ext.error_by_sample())},
          {"heldout_error", mean(seen.unseen.error_by_sample())}};
}

void keep_samples(const Examination& seen, const SweepCell& cell, const CellGround& ground, const RunFolder& folder,
                  const NeighbourMeasures* near_region) {
  const data::ImageSet& images = ground.score_set;
  const auto n = static_cast<std::int64_t>(seen.near.m.size());
  const bool points = images.height == 1 && images.width == 1;
  const std::vector<float> score_set = points ? images.to_float() : std::vector<float>();
  std::vector<io::ArrayView> arrays = {
      io::view_of("samples", seen.generation.images, {n, images.height, images.width, images.channels}),
      io::view_of("m", seen.near.m, {n}), io::view_of("nearest", seen.near.nearest, {n}),
      io::view_of("nearest_over_second", seen.near.nearest_over_second, {n})};
  if (near_region != nullptr) arrays.push_back(io::view_of("m_region", near_region->m, {n}));
  if (points) arrays.push_back(io::view_of("score_set", score_set, {images.count, images.dimension()}));
  io::write_npz(folder.arrays() / (cell.name() + ".npz"), arrays);
  if (!points && (images.channels == 1 || images.channels == 3))
    write_nearest_gallery(folder.images() / (cell.name() + ".png"), seen.generation.images, images, seen.near.nearest,
                          2);
}

CellTraining begin_cell(const SweepCell& cell, const CellOptions& options, const CellGround& ground, Device device,
                        RunFolder& folder, const MakeAlignment& alignment) {
  CellTraining training;
  const double ratio = options.intervention.region_ratio;
  training.region =
      ratio > 1.0 ? ground.all.superset(ground.score_set, ratio, options.data.subset_seed) : ground.score_set;
  training.model = make_model(options.model, ground.score_set, device, cell.seed);
  training.trainer = std::make_unique<Trainer>(
      *training.model,
      make_objective(options.model, options.intervention,
                     intervention_ground(options.model, ground.score_set, training.region, device, cell.seed)),
      std::make_shared<NoisedData>(on_device(ground.held_out, device), training.model->process()),
      trainer_options(options.optimisation, cell.seed), alignment ? alignment(*training.model, cell.seed) : nullptr);
  training.job = {
      .name = cell.name(), .folder = folder.checkpoints() / cell.name(), .images = describe(ground.score_set)};
  if (folder.resumed()) take_up(*training.trainer, training.job, folder);
  return training;
}

Json run_cell(const SweepCell& cell, const CellOptions& options, const CellGround& ground, Device device,
              RunFolder& folder, Progress& progress) {
  const CellTraining training = begin_cell(cell, options, ground, device, folder);
  NetworkScore& model = *training.model;
  train(*training.trainer, training.job, options.optimisation.steps, options.optimisation.checkpoint_every, folder,
        progress);
  Json out = {{"data", options.data.data},
              {"network", options.model.network},
              {"N", ground.score_set.count},
              {"ratio", options.intervention.region_ratio},
              {"source", options.intervention.source},
              {"target", options.intervention.target},
              {"seed", cell.seed}};
  const Progress::Stage stage(progress, "examine " + cell.name());
  const WeightScope averaged(model.network(), training.trainer->average());
  const Examination seen = examine(model, ground, options);
  const NeighbourMeasures near_region =
      training.region.count > ground.score_set.count
          ? neighbour_measures(seen.generation.images, EmpiricalScore(training.region, device))
          : seen.near;
  out.update(measures_of(seen, ground, options));
  out["memorised_region"] = fractions_json(memorised_fractions(near_region));
  out["sup_by_level"] = by_level(seen.sup);
  out["ext_by_level"] = by_level(seen.ext);
  keep_samples(seen, cell, ground, folder, &near_region);
  out["flops"] = training.trainer->flops_done();
  return out;
}

Json measures_of(const Json& result) {
  Json measures;
  for (const char* key : {"memorised", "memorised_heldout", "m_quantiles", "n", "frechet", "sup_error", "ext_error"})
    measures[key] = result.at(key);
  return measures;
}

namespace {

io::HostArray kept(const RunFolder& folder, const SweepCell& cell, const std::string& name) {
  const std::filesystem::path file = folder.arrays() / (cell.name() + ".npz");
  auto arrays = io::read_npz(file);
  const auto found = arrays.find(name);
  require(found != arrays.end(), "{}: has no array '{}'", file.string(), name);
  return std::move(found->second);
}

}  // namespace

std::vector<float> kept_array(const RunFolder& folder, const SweepCell& cell, const std::string& name) {
  return io::to_float32(kept(folder, cell, name));
}

Shape kept_shape(const RunFolder& folder, const SweepCell& cell) {
  const Shape shape = kept(folder, cell, "samples").shape;
  return {shape[1], shape[2], shape[3]};
}

}  // namespace tweedie::experiments
