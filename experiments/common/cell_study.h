#pragma once

#include <nlohmann/json_fwd.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/empirical_score.h"
#include "diffusion/frechet.h"
#include "diffusion/memorization.h"
#include "diffusion/score_probe.h"
#include "experiments/common/generation.h"
#include "experiments/common/interventions.h"
#include "experiments/common/options.h"
#include "experiments/common/resources.h"
#include "experiments/common/sweep.h"
#include "experiments/common/training.h"

namespace tweedie::experiments {

// Experiments whose every cell trains one network under some intervention and examines the score it learned: what
// freedom_of_extrapolation and target_variance have in common.

struct CellOptions {
  RunOptions run;
  ComputeOptions compute;
  DataOptions data;  // --subset is the size of the score set
  ModelOptions model;
  InterventionOptions intervention;
  OptimisationOptions optimisation;
  SweepOptions sweep{.seeds = "0..2", .axes = {}};
  std::int64_t probes = 256;   // evaluation points a region
  std::int64_t samples = 512;  // generated images
};
void add_options(CommandLine& line, CellOptions& options);

/// What the cells of one score set share. States, noise and starts of samples are the same for all of them.
struct CellGround {
  data::ImageSet all, score_set, held_out;
  Process process = Process::linear();
  std::shared_ptr<const EmpiricalScore> empirical;  // of the score set
  ProbeReference supervised, unseen;                // regions sup and heldout
  std::shared_ptr<const PrincipalFeatures> features;
  FeatureMoments held_out_moments;
  NeighbourMeasures held_out_neighbours;  // of as many held-out images as a cell has samples
};
/// With labels the score set is class-balanced. Throws UsageError where the data are too few or have no test split, and
/// for other processes than linear, whose levels the measures are taken at.
CellGround lay_cell_ground(const CellOptions& options, Device device);
using CellGrounds = Shared<std::shared_ptr<const CellGround>>;
/// The ground of the options in force, laid once.
const CellGround& ground_of(CellGrounds& grounds, const CellOptions& options, Device device);

/// The cells of several studies, each once.
std::vector<SweepCell> cells_of(const std::vector<SweepStudy>& studies, const SweepOptions& options, CommandLine& line);

/// Samples of a cell's model, from the same noise for all cells; states are kept of the first --probes of them.
Generation generate(ScoreModel& model, const CellGround& ground, const CellOptions& options);

/// A model seen at the states of a ground, and by its samples.
struct Examination {
  Generation generation;
  NeighbourMeasures near;  // of the samples, in the score set
  ProbeRecords sup, ext, unseen;
};
Examination examine(ScoreModel& model, const CellGround& ground, const CellOptions& options);
/// memorised, memorised_heldout {m_third, sqrt_m_third, sqrt_m_half, nn_ratio_third}, m_quantiles (0, 5, 25, 50, 75,
/// 95, 100 %), n, frechet (in the ground's principal components), sup_error, ext_error, heldout_error.
nlohmann::ordered_json measures_of(const Examination& seen, const CellGround& ground, const CellOptions& options);
/// Samples and every m(x) in arrays/NAME.npz, samples above their nearest training images in images/NAME.png.
void keep_samples(const Examination& seen, const SweepCell& cell, const CellGround& ground, const RunFolder& folder,
                  const NeighbourMeasures* near_region = nullptr);

/// An auxiliary term for a new network of some seed, or none.
using MakeAlignment = std::function<std::shared_ptr<RepresentationAlignment>(NetworkScore& model, std::uint64_t seed)>;
/// The training of the network that the options in force describe, taken up from its checkpoints under checkpoints/NAME
/// where a run is resumed.
struct CellTraining {
  data::ImageSet region;  // whose noised states are shown
  std::unique_ptr<NetworkScore> model;
  std::unique_ptr<Trainer> trainer;
  TrainingJob job;
};
CellTraining begin_cell(const SweepCell& cell, const CellOptions& options, const CellGround& ground, Device device,
                        RunFolder& folder, const MakeAlignment& alignment = {});

/// Trains such a network to its end and examines it with averaged weights. Returns the measures of results.json with
/// data, network, N, ratio, source, target and seed before them and memorised_region (against all images of the
/// region), errors by level and the training's flops after them.
nlohmann::ordered_json run_cell(const SweepCell& cell, const CellOptions& options, const CellGround& ground,
                                Device device, RunFolder& folder, Progress& progress);
/// Those of a result that results.json has, in the order above.
nlohmann::ordered_json measures_of(const nlohmann::ordered_json& result);
/// What run_cell kept: values of one array, samples (n, H, W, C) flattened; for points also those of the score set.
std::vector<float> kept_array(const RunFolder& folder, const SweepCell& cell, const std::string& name);
/// (H, W, C) of a cell's samples.
Shape kept_shape(const RunFolder& folder, const SweepCell& cell);

/// What a study's cells do besides training once and being examined once.
struct CellCosts {
  std::int64_t looks = 1;        // examinations of each cell
  MakeAlignment alignment = {};  // with the options of the cell in force
  RunEstimate before = {};       // work that all cells share
  /// What else the cell in force asks of its network, in training samples (a forward and a backward pass of one image).
  std::function<double()> more_samples = {};
};
/// Says what the cells will take on this device, measured on a few training samples of each network, before any begins.
/// `options` are those that `line` fills; every cell is applied in turn, so mistakes in a sweep are found here.
void announce_cells(const std::vector<SweepCell>& cells, CommandLine& line, const CellOptions& options, Device device,
                    const CellCosts& costs = {});

}  // namespace tweedie::experiments
