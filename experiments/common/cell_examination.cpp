#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "diffusion/data/png.h"
#include "diffusion/samplers.h"
#include "diffusion/statistics.h"
#include "experiments/common/cell_study.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/common/signals.h"
#include "nn/io/npz.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

/// Samples of a model with the states it passed at cell_levels(): probability-flow ODE by Heun's method, 20 equal steps
/// of t from 1 to 0, from the same noise for every model.
struct Generation {
  ProbeStates trajectory;
  std::vector<float> images;
};

Generation generate(ScoreModel& model, const CellGround& ground, const CellOptions& options) {
  const Shape image{ground.score_set.height, ground.score_set.width, ground.score_set.channels};
  const auto d = static_cast<std::size_t>(image.count());
  const std::int64_t kept = std::min(options.probes, options.samples);
  const std::vector<double>& levels = cell_levels();
  std::vector<std::vector<float>> passed(levels.size(), std::vector<float>(static_cast<std::size_t>(kept) * d));
  std::vector<std::int64_t> streams(static_cast<std::size_t>(options.samples));
  std::iota(streams.begin(), streams.end(), 0);
  SamplerOptions sampler;
  for (int step = 20; step >= 0; --step) sampler.times.push_back(static_cast<double>(step) / 20.0);
  sampler.batch = std::min<std::int64_t>(options.samples, 128);
  sampler.on_step = [&](const SamplerStep& step) {
    if (stop_requested()) stop("the trained network is saved");
    const auto level =
        std::find_if(levels.begin(), levels.end(), [&](double t) { return std::abs(t - step.t.front()) < 1e-9; });
    if (level == levels.end()) return;
    const std::vector<float> z = step.z.to_host();
    std::vector<float>& place = passed[static_cast<std::size_t>(level - levels.begin())];
    for (std::size_t row = 0; row < step.samples.size(); ++row)
      if (step.samples[row] < kept)
        std::copy_n(z.begin() + static_cast<std::ptrdiff_t>(row * d), d,
                    place.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(step.samples[row]) * d));
  };
  Generation generation;
  generation.images =
      heun(model, start_from_noise(model.process(), image, streams, 0, model.device(), {}, 1.0), sampler).to_host();
  generation.trajectory = {.region = "ext", .t = levels, .z = {}};
  for (const std::vector<float>& states : passed)
    generation.trajectory.z.push_back(
        Tensor::from_host(std::span<const float>(states), {kept, image[0], image[1], image[2]}, model.device()));
  return generation;
}

Json fractions_json(const NeighbourMeasures& measures) {
  const MemorisedFractions fractions = memorised_fractions(measures);
  return {{"m_third", fractions.m_third},
          {"sqrt_m_third", fractions.sqrt_m_third},
          {"sqrt_m_half", fractions.sqrt_m_half},
          {"nn_ratio_third", fractions.nn_ratio_third}};
}

Json by_level(const ProbeRecords& records) {
  Json levels = Json::array();
  for (std::size_t level = 0; level < records.t.size(); ++level) levels.push_back(mean(records.at_level(level)));
  return levels;
}

/// Rows of samples, each above the row of their nearest images of the score set.
void write_gallery(const std::filesystem::path& file, const CellGround& ground, std::span<const float> images,
                   const NeighbourMeasures& measures) {
  constexpr std::size_t rows = 2;
  const std::size_t columns = std::min<std::size_t>(16, measures.nearest.size());
  const auto d = static_cast<std::size_t>(ground.score_set.dimension());
  std::vector<float> tiles, nearest(d);
  for (std::size_t first = 0; first + columns <= measures.nearest.size() && first < rows * columns; first += columns) {
    const std::span<const float> row = images.subspan(first * d, columns * d);
    tiles.insert(tiles.end(), row.begin(), row.end());
    for (std::size_t i = first; i < first + columns; ++i) {
      ground.score_set.copy_float(measures.nearest[i], nearest);
      tiles.insert(tiles.end(), nearest.begin(), nearest.end());
    }
  }
  data::write_png(file,
                  data::image_grid(tiles, ground.score_set.height, ground.score_set.width, ground.score_set.channels,
                                   {.columns = static_cast<std::int64_t>(columns), .padding = 1, .scale = 3}));
}

void examine(ScoreModel& model, const SweepCell& cell, const CellOptions& options, const CellGround& ground,
             const data::ImageSet& region, RunFolder& folder, Json& out) {
  const Generation generation = generate(model, ground, options);
  const NeighbourMeasures near = neighbour_measures(generation.images, *ground.empirical);
  const NeighbourMeasures near_region =
      region.count > ground.score_set.count
          ? neighbour_measures(generation.images, EmpiricalScore(region, model.device()))
          : near;
  const ProbeRecords sup = probe(model, ground.supervised), unseen = probe(model, ground.unseen),
                     ext = probe(model, reference_at(generation.trajectory, *ground.empirical, ground.process));
  const std::vector<double> levels = {0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0};
  out["memorised"] = fractions_json(near);
  out["memorised_heldout"] = fractions_json(ground.held_out_neighbours);
  out["m_quantiles"] = quantiles(near.m, levels);
  out["n"] = options.samples;
  out["frechet"] =
      frechet_distance(feature_moments(ground.features->features(generation.images), ground.features->dimension()),
                       ground.held_out_moments);
  out["sup_error"] = mean(sup.error_by_sample());
  out["ext_error"] = mean(ext.error_by_sample());
  out["heldout_error"] = mean(unseen.error_by_sample());
  out["memorised_region"] = fractions_json(near_region);
  out["sup_by_level"] = by_level(sup);
  out["ext_by_level"] = by_level(ext);
  const data::ImageSet& images = ground.score_set;
  const Shape shape{options.samples, images.height, images.width, images.channels};
  const bool points = images.height == 1 && images.width == 1;
  const std::vector<float> score_set = points ? images.to_float() : std::vector<float>();
  std::vector<io::ArrayView> arrays = {io::view_of("samples", generation.images, shape),
                                       io::view_of("m", near.m, {options.samples}),
                                       io::view_of("nearest", near.nearest, {options.samples}),
                                       io::view_of("nearest_over_second", near.nearest_over_second, {options.samples}),
                                       io::view_of("m_region", near_region.m, {options.samples})};
  if (points) arrays.push_back(io::view_of("score_set", score_set, {images.count, images.dimension()}));
  io::write_npz(folder.arrays() / (cell.name() + ".npz"), arrays);
  if (!points && (images.channels == 1 || images.channels == 3))
    write_gallery(folder.images() / (cell.name() + ".png"), ground, generation.images, near);
}

}  // namespace

Json run_cell(const SweepCell& cell, const CellOptions& options, const CellGround& ground, Device device,
              RunFolder& folder, Progress& progress) {
  const double ratio = options.intervention.region_ratio;
  const data::ImageSet region =
      ratio > 1.0 ? ground.all.superset(ground.score_set, ratio, options.data.subset_seed) : ground.score_set;
  const auto model = make_model(options.model, ground.score_set, device, cell.seed);
  Trainer trainer(*model,
                  make_objective(options.model, options.intervention,
                                 intervention_ground(options.model, ground.score_set, region, device, cell.seed)),
                  std::make_shared<NoisedData>(on_device(ground.held_out, device), model->process()),
                  trainer_options(options.optimisation, cell.seed));
  const TrainingJob job{
      .name = cell.name(), .folder = folder.checkpoints() / cell.name(), .images = describe(ground.score_set)};
  if (folder.resumed()) take_up(trainer, job, folder);
  train(trainer, job, options.optimisation.steps, options.optimisation.checkpoint_every, folder, progress);
  Json out = {{"data", options.data.data},
              {"network", options.model.network},
              {"N", ground.score_set.count},
              {"ratio", ratio},
              {"source", options.intervention.source},
              {"target", options.intervention.target},
              {"seed", cell.seed}};
  const Progress::Stage stage(progress, "examine " + cell.name());
  const WeightScope averaged(model->network(), trainer.average());
  examine(*model, cell, options, ground, region, folder, out);
  out["flops"] = trainer.flops_done();
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
