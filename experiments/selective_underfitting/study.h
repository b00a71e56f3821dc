#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/data/image_set.h"
#include "diffusion/empirical_score.h"
#include "diffusion/frechet.h"
#include "diffusion/score_probe.h"
#include "experiments/common/generation.h"
#include "experiments/common/options.h"
#include "experiments/common/resources.h"
#include "experiments/common/training.h"

namespace tweedie::experiments {

class Progress;
class RunFolder;

/// One data set, and the networks whose scores on it are followed over training.
struct StudyPlan {
  std::string title;
  std::string name;                                        // of its files and rows: no other plan of a run has it
  std::string label;                                       // its data and what was swept, in words
  std::vector<std::pair<std::string, std::string>> swept;  // options and their values, of --sweep
  DataOptions data;
  ModelOptions model;                // but for its network
  OptimisationOptions optimisation;  // but for its steps
  std::vector<std::string> networks;
  std::vector<std::uint64_t> seeds;       // of initial weights, data order and noise; paired between networks
  std::vector<std::int64_t> checkpoints;  // steps at which the score is looked at
  std::int64_t probes = 256;              // evaluation points a region
  std::int64_t samples = 512;             // generated images for quality and memorisation
  std::int64_t restarts = 200;            // training images restarted from
};

/// What a study holds before any network is trained; shared by all its networks.
struct StudyGround {
  data::ImageSet train, held_out;
  std::shared_ptr<const DeviceImages> train_images, held_out_images;
  std::shared_ptr<const EmpiricalScore> empirical;  // of the training images
  Process process = Process::linear();
  ProbeReference supervised, unseen;  // regions sup and heldout
  std::shared_ptr<const PrincipalFeatures> features;
  FeatureMoments held_out_moments;
  std::uint64_t probe_seed = 0;  // of evaluation noise: the same for every network and seed
};
StudyGround lay_ground(const StudyPlan& plan, Device device, std::uint64_t probe_seed);

/// What the studies will take on this device, measured on a few training samples of each network.
RunEstimate estimate_of(const std::vector<StudyPlan>& plans, Device device);

/// Samples from t = 1 with their states, for the images and the noise of a study.
Generation generate(ScoreModel& model, const StudyGround& ground, std::int64_t count);

/// Trains one network for one seed, looking at its score at each checkpoint, and examines the last of the plan's
/// networks when it is done. What an earlier, interrupted run finished is not done again.
void follow_network(const StudyPlan& plan, const StudyGround& ground, const std::string& network, std::uint64_t seed,
                    Device device, RunFolder& folder, Progress& progress);
/// What that left: a JSON object for each checkpoint (see docs/experiments.md), and what `examine` returned.
std::vector<nlohmann::ordered_json> finished_looks(const StudyPlan& plan, const std::string& network,
                                                   std::uint64_t seed, const RunFolder& folder);
nlohmann::ordered_json finished_examination(const StudyPlan& plan, std::uint64_t seed, const RunFolder& folder);

/// What the instruments that need one finished model found, and the page shows.
struct ShellCurve {
  std::string source;
  std::vector<double> t, q05, q50, q95;
};
struct RestartCurve {
  std::vector<double> t, recovered, copied;  // shares of n
  std::int64_t n = 0;
};
struct OverlapCurve {
  std::vector<double> t, max, q99, q50;
};
struct Findings {
  ShellCurve supervised, extrapolated;
  RestartCurve restart;
  nlohmann::ordered_json samples;               // the row of results.json
  std::filesystem::path gallery;                // the first seed's images, each above its nearest training image
  std::vector<double> root_m, root_m_held_out;  // calibrated distance ratios
};
/// How far the shells of training images overlap: a matter of the data alone. Adds its rows to results (overlap).
OverlapCurve overlap_curve(const StudyPlan& plan, const StudyGround& ground, nlohmann::ordered_json& results);
/// What errors at the supervised states of one level are held against, in the same units: the zero network's, which is
/// (sigma^2/d) |s*|^2; that of the best affine denoiser (GaussianScore); and (sigma^2/d) tr C, the variance that the
/// target keeps. Means over the states.
struct Baseline {
  double t = 0.0, zero = 0.0, gaussian = 0.0, trace = 0.0;
};
std::vector<Baseline> baselines_of(const StudyGround& ground);
/// Examines the model of one seed, keeping its arrays and pictures in the run folder: {shells, restart, samples}, rows
/// of results.json, and root_m, root_m_held_out.
nlohmann::ordered_json examine(const StudyPlan& plan, const StudyGround& ground, ScoreModel& model,
                               const std::string& network, std::uint64_t seed, RunFolder& folder, Progress& progress);
Findings findings_of(const nlohmann::ordered_json& examined, const StudyPlan& plan, const RunFolder& folder);

}  // namespace tweedie::experiments
