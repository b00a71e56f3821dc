#include <algorithm>
#include <charconv>

#include "diffusion/checkpoint.h"
#include "diffusion/statistics.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/scaling_law/study.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

/// The variance that the velocity target e - x keeps given the state, a dimension: the part of the loss that no network
/// can lower. On the linear path v = (e - z)/alpha given z.
double velocity_floor(const ProbeReference& reference, const Process& process) {
  const auto n = static_cast<std::size_t>(reference.states.count());
  double sum = 0.0;
  for (std::size_t level = 0; level < reference.states.t.size(); ++level) {
    const double alpha = process.alpha(reference.states.t[level]);
    for (std::size_t i = level * n; i < (level + 1) * n; ++i) sum += reference.trace[i] / (alpha * alpha);
  }
  return sum / static_cast<double>(reference.trace.size());
}

Json look_of(const Examination& seen, const ScalingOptions& options, const CellGround& ground, const Judges& judges) {
  Json measures = measures_of(seen, ground, options);
  const double excess = mean(seen.sup.v_error_by_sample());
  const double floor = velocity_floor(ground.supervised, ground.process);
  Json look = {{"sup_loss", floor + excess},
               {"sup_floor", floor},
               {"sup_excess", excess},
               {"sup_error", measures.at("sup_error")},
               {"ext_error", measures.at("ext_error")},
               {"ext_v_error", mean(seen.ext.v_error_by_sample())},
               {"heldout_error", measures.at("heldout_error")},
               {"frechet", judges.all.front().frechet(seen.generation.images)},
               {"kernel", judges.all.front().kernel(seen.generation.images)},
               {"features", judges.all.front().name},
               {"frechet_pca", measures.at("frechet")},
               {"kernel_pca", judges.all.back().kernel(seen.generation.images)}};
  for (const char* key : {"n", "memorised", "memorised_heldout", "m_quantiles"}) look[key] = measures.at(key);
  return look;
}

}  // namespace

std::vector<std::int64_t> looks_at(std::int64_t steps, std::int64_t looks) {
  std::vector<std::int64_t> at;
  for (std::int64_t step = steps; step > 0 && static_cast<std::int64_t>(at.size()) < looks; step /= 2)
    at.insert(at.begin(), step);
  return at;
}

std::string family_of(const std::string& network) {
  const std::pair<const char*, const char*> families[] = {{"unet-conv", "conv U-Net"},
                                                          {"unet", "attention U-Net"},
                                                          {"ddpm", "attention U-Net"},
                                                          {"dit", "transformer"},
                                                          {"mlp", "MLP"},
                                                          {"radial-mlp", "radial MLP"}};
  for (const auto& [prefix, family] : families)
    if (network.starts_with(prefix)) return family;
  return network;
}

Json run_scaling_cell(const SweepCell& cell, const ScalingOptions& options, const CellGround& ground,
                      const Judges& judges, Device device, RunFolder& folder, Progress& progress) {
  const CellTraining training =
      begin_cell(cell, options, ground, device, folder, [&](NetworkScore& model, std::uint64_t seed) {
        return make_alignment(options.alignment, judges.teacher, model, seed);
      });
  NetworkScore& model = *training.model;
  Trainer& trainer = *training.trainer;
  const data::ImageSet& images = ground.score_set;
  const double flops = model.network().flops({1, images.height, images.width, images.channels});
  const std::vector<std::int64_t> steps = looks_at(options.optimisation.steps, options.looks);
  const std::vector<Json> looks = look_along(
      trainer, training.job, steps, options.optimisation.checkpoint_every, folder, progress, [&](std::int64_t step) {
        const WeightScope averaged(model.network(), trainer.average());
        const Examination seen = examine(model, ground, options);
        Json out = {{"step", step},
                    {"flops", flops * static_cast<double>(step * options.optimisation.batch)},
                    {"training_flops", trainer.flops_done()}};
        out.update(look_of(seen, options, ground, judges));
        if (step == steps.back()) keep_samples(seen, cell, ground, folder);
        return out;
      });
  return {{"data", options.data.data},
          {"network", options.model.network},
          {"family", family_of(options.model.network)},
          {"alignment", options.alignment.weight},
          {"seed", cell.seed},
          {"parameters", model.network().parameter_count()},
          {"looks", looks},
          {"last", looks.back()}};
}

double weight_of(const SweepCell& cell) {
  const std::string text = cell.value("align", "0");
  double weight = 0.0;
  std::from_chars(text.data(), text.data() + text.size(), weight);
  return weight;
}

std::vector<ShiftPair> shift_pairs(const std::vector<SweepCell>& cells) {
  const auto aligned = [](const SweepCell& cell) { return weight_of(cell) > 0.0; };
  /// The unaligned cell that is otherwise like `cell`, of some seed.
  const auto partner = [&](const SweepCell& cell, std::uint64_t seed) {
    return std::find_if(cells.begin(), cells.end(), [&](const SweepCell& other) {
      return other.seed == seed && !aligned(other) &&
             std::all_of(cell.values.begin(), cell.values.end(), [&](const auto& entry) {
               return entry.first == "align" || other.value(entry.first) == entry.second;
             });
    });
  };
  std::vector<ShiftPair> pairs;
  std::vector<std::string> controlled;  // unaligned cells with their pair
  for (const SweepCell& cell : cells) {
    const auto from = aligned(cell) ? partner(cell, cell.seed) : cells.end();
    if (from == cells.end()) continue;
    pairs.push_back({.from = *from, .to = cell});
    if (std::find(controlled.begin(), controlled.end(), from->name()) != controlled.end()) continue;
    controlled.push_back(from->name());
    // The next larger seed, or the first where there is none.
    const SweepCell* next = nullptr;
    for (const bool wrap : {false, true})
      for (const SweepCell& other : cells)
        if (next == nullptr && other.seed != cell.seed && (wrap || other.seed > cell.seed))
          if (const auto found = partner(*from, other.seed); found != cells.end()) next = &*found;
    if (next != nullptr) pairs.push_back({.from = *from, .to = *next, .reseeded = true});
  }
  return pairs;
}

Json shift_between(const SweepCell& from, const SweepCell& to, const ScalingOptions& options, const CellGround& ground,
                   Device device, const RunFolder& folder) {
  const auto load = [&](const SweepCell& cell) {
    const auto [checkpoint, step] = newest_checkpoint(folder.checkpoints() / cell.name());
    require(!checkpoint.empty(), "{}: its checkpoint is gone", cell.name());
    return load_checkpoint(checkpoint, WeightKind::average, device);
  };
  const auto first = load(from), second = load(to);
  CellOptions few = options;
  few.samples = options.probes;  // those whose states are followed
  const auto distance = [&](const ProbeStates& states) {
    return mean(probe(*second, reference_at(states, *first)).v_error_by_sample());
  };
  const double sup = distance(ground.supervised.states), ext = distance(generate(*first, ground, few).trajectory);
  require(sup > 0.0, "{} and {}: the same network twice", from.name(), to.name());
  return {{"sup", sup}, {"ext", ext}, {"ratio", ext / sup}, {"n", ground.supervised.states.count()}};
}

}  // namespace tweedie::experiments
