#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "diffusion/empirical_score.h"
#include "diffusion/input_source.h"
#include "diffusion/samplers.h"
#include "diffusion/score_model.h"

namespace tweedie {

/// States at which a learned score is compared with another, by region of the input space:
///   sup          training images, noised: where training supervises;
///   ext          states of the model's own sampler: where it is asked;
///   heldout      images it has not seen, noised;
///   regenerated  its own finished samples, noised again: fair beside sup and heldout, since only the image differs.
/// The same samples are followed through all levels.
struct ProbeStates {
  std::string region;
  std::vector<double> t;  // (T)
  std::vector<Tensor> z;  // T tensors (n, H, W, C) on the model's device
  std::int64_t count() const { return z.empty() ? 0 : z.front().size(0); }
};

/// `count` states at each level: the images in turn, from the first again where they are fewer, each state with a noise
/// of its own that is the same at all levels (Purpose::probe_noise). The same arguments give the same states: models
/// are compared on equal ground.
ProbeStates noised_states(std::string region, const DeviceImages& images, const Process& process,
                          std::span<const double> t, std::int64_t count, std::uint64_t seed);

/// What the reference score says at the states of one region; computed once and used for many models.
struct ProbeReference {
  ProbeStates states;
  // Each (T n), level by level.
  std::vector<float> posterior_mean;           // (T n d)
  std::vector<double> r_star, entropy, trace;  // trace: sigma^2 tr C / d, in the units of the errors
  std::vector<double> norm;                    // (sigma^2 / d) |s*|^2: the error of the network that answers 0
  std::vector<std::int64_t> nearest;
};
ProbeReference reference_at(ProbeStates states, const EmpiricalScore& empirical, const Process& process);
/// The same against any other model (the law the data came from, where it is known): posterior_mean and norm alone.
ProbeReference reference_at(ProbeStates states, ScoreModel& model);

/// Per-sample records of one model at one region.
struct ProbeRecords {
  std::string region;
  std::vector<double> t;
  std::int64_t count = 0;
  // Each (T n), level by level: (sigma^2 / d) |s - s*|^2 and the squared velocity error per dimension.
  std::vector<double> error, v_error;

  /// Mean over levels of one sample's error.
  std::vector<double> error_by_sample() const;
  std::vector<double> v_error_by_sample() const;
  /// All samples' errors at one level.
  std::span<const double> at_level(std::size_t level) const;
};
ProbeRecords probe(ScoreModel& model, const ProbeReference& reference);

/// One .npz of per-sample records: t (T) and, each (T, n), error, v_error, r_star, entropy, trace, norm, nearest.
void write_records(const std::filesystem::path& file, const ProbeReference& reference, const ProbeRecords& records);

}  // namespace tweedie
