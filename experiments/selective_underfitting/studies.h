#pragma once

#include <nlohmann/json.hpp>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "diffusion/score_probe.h"
#include "experiments/common/options.h"
#include "experiments/common/report.h"
#include "experiments/common/resources.h"
#include "experiments/common/training.h"
#include "experiments/selective_underfitting/over_seeds.h"
#include "experiments/selective_underfitting/study.h"

namespace tweedie::experiments {

/// Where the user has a size of their own for the studies of --study: --study-network --study-steps --study-samples.
struct StudySize {
  std::string network;     // empty: the study's own
  std::int64_t steps = 0;  // 0: the study's own
  std::int64_t samples = 0;
};

/// How large a study is: it trains by this, and the estimate before a run stands on it.
struct StudyScale {
  std::string network;
  std::int64_t steps = 0, batch = 0, samples = 0;
  int networks = 1;   // that are trained, over all seeds
  int samplings = 1;  // sets of samples drawn from networks, likewise
};

/// What these studies are given.
struct StudyContext {
  bool quick = false;  // minutes on two cores, else a GPU's size
  StudyScale scale;
  DataOptions data;                  // of the studies on images
  std::uint64_t seed = 0;            // of what is drawn once for all seeds
  std::vector<std::uint64_t> seeds;  // of initial weights, data order and noise: a study is repeated for each
  Device device;
  RunFolder& folder;
  Progress& progress;
};

/// What a study leaves: its rows of results.json, its claims, and its part of the page.
struct StudyPage {
  nlohmann::ordered_json results;
  std::vector<Claim> claims;
  std::function<void(Report&)> add;
};

/// One network, as a study trains it.
struct NetworkPlan {
  std::string name;  // of its checkpoints' folder
  ModelOptions model;
  OptimisationOptions optimisation;
  std::uint64_t seed = 0;
};
/// Small fast settings on which studies build: batch 64, no held-out loss, checkpoints at the looks alone.
OptimisationOptions study_optimisation(std::int64_t steps);

/// Trains a network of `plan` on `images`; at each of `steps` (rising; 0 is the untrained network) `look` is asked,
/// with averaged weights in place, for a JSON object. A look that an earlier, interrupted run finished is read back.
using Look = std::function<nlohmann::ordered_json(NetworkScore& model, std::int64_t step)>;
std::vector<nlohmann::ordered_json> train_and_look(const NetworkPlan& plan, const data::ImageSet& images,
                                                   std::span<const std::int64_t> steps, const StudyContext& context,
                                                   const Look& look);
struct NetworkTask {
  NetworkPlan plan;
  const data::ImageSet* images = nullptr;
};
/// Trains all of these, beside each other where they can be (run_jobs); trained_network then only reads them back.
void train_networks(const std::vector<NetworkTask>& tasks, const StudyContext& context);
/// The same without looks: the finished network, with averaged weights.
std::unique_ptr<NetworkScore> trained_network(const NetworkPlan& plan, const data::ImageSet& images,
                                              const StudyContext& context);

/// The exact scores of a data set and of the law it came from, along training (Gaussian toy).
StudyPage gaussian_study(const StudyContext& context);
/// Four points: near by angle or near by distance (perception-aligned toy).
StudyPage perception_study(const StudyContext& context);
/// Networks on two disjoint halves of few and of many images: copying, and agreement from the same noise.
StudyPage memorising_study(const StudyContext& context);
/// What the class adds to the score: of the exact score where training supervises, of the network where it
/// extrapolates.
StudyPage guidance_study(const StudyContext& context);
/// The exact score for a part of the reverse path, a network for the rest.
StudyPage hybrid_study(const StudyContext& context);

using Study = StudyPage (*)(const StudyContext&);
/// nullptr for an unknown name.
Study study_named(std::string_view name);
/// "gaussian, perception, ...".
std::string known_studies();
/// A study's own scale, over so many seeds, with what the user asked for in its place.
StudyScale scale_of_study(std::string_view name, bool quick, const StudySize& asked, int seeds);
/// What it will take on this device, measured on a few training samples of its network.
RunEstimate estimate_of_study(std::string_view name, const StudyScale& scale, DataOptions data, Device device);

}  // namespace tweedie::experiments
