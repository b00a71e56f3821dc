#pragma once

#include <nlohmann/json.hpp>

#include <memory>
#include <string>
#include <vector>

#include "diffusion/feature_space.h"
#include "experiments/common/alignment.h"
#include "experiments/common/cell_study.h"

namespace tweedie::experiments {

struct ScalingOptions : CellOptions {
  AlignmentOptions alignment;  // its encoder: one trained here unless --encoder names one
  EncoderOptions encoder;
  std::int64_t looks = 4;
};

/// Where a network of `steps` steps is looked at: at its end and at halvings of it, rising.
std::vector<std::int64_t> looks_at(std::int64_t steps, std::int64_t looks);

/// "conv U-Net", "attention U-Net", "transformer" ...: what a network's name says it is made of.
std::string family_of(const std::string& network);

/// A space in which samples are compared with held-out images. The floors are those distances for as many training
/// images as a network has samples: what a perfect copy of the data would reach.
struct Judge {
  std::string name;  // "encoder" or "pca"
  std::shared_ptr<const FeatureSpace> space;
  FeatureMoments held_out;
  std::vector<float> few;  // features of at most 2000 held-out images, for the kernel distance
  std::int64_t n = 0;      // samples that are judged
  double frechet_floor = 0.0, kernel_floor = 0.0;
  double frechet(std::span<const float> images) const;
  double kernel(std::span<const float> images) const;
};

/// What the cells share besides their ground.
struct Judges {
  std::vector<Judge> all;                      // claims are made by the first
  std::shared_ptr<const ConvEncoder> teacher;  // that networks are aligned with; none without labels
  std::vector<std::string> encoders = {};      // what they are, in words
};
/// Trains the encoders that are needed, or takes them up from the folder's encoders/: one that judges and, where some
/// cell is aligned, another from other weights that teaches, so that no network was taught by its judge. Images without
/// labels are judged by principal components alone.
Judges lay_judges(const ScalingOptions& options, const CellGround& ground, bool aligned, Device device,
                  RunFolder& folder, Progress& progress);
/// What training the encoders will take, measured on a few steps.
CellCosts encoder_costs(const ScalingOptions& options, const data::ImageSet& images, std::int64_t encoders,
                        Device device);

/// Trains the network that the options in force describe and looks at it along the way, with averaged weights:
///   {data, network, family, alignment, seed, parameters, looks, last}, where `last` is the last of `looks`, and a look
///   {step, flops, training_flops, sup_loss, sup_floor, sup_excess, sup_error, ext_error, ext_v_error, heldout_error,
///    frechet, kernel, frechet_pca, kernel_pca, n, memorised, memorised_heldout, m_quantiles}.
/// flops: a sample's forward pass x steps x batch; sup_loss: see docs/experiments.md.
nlohmann::ordered_json run_scaling_cell(const SweepCell& cell, const ScalingOptions& options, const CellGround& ground,
                                        const Judges& judges, Device device, RunFolder& folder, Progress& progress);

/// How far two finished cells' scores lie apart, as |v - v'|^2 a dimension over the usual levels: at supervised states
/// and at states of `from`'s own sampler; {sup, ext, ratio, n}.
nlohmann::ordered_json shift_between(const SweepCell& from, const SweepCell& to, const ScalingOptions& options,
                                     const CellGround& ground, Device device, const RunFolder& folder);

/// The cell's --align.
double weight_of(const SweepCell& cell);

/// Two cells whose scores are compared. `reseeded`: alike but for their seeds, the control.
struct ShiftPair {
  SweepCell from, to;
  bool reseeded = false;
};
/// Each aligned cell with the unaligned one of its network and seed; and, for those networks, each unaligned cell with
/// that of the next seed.
std::vector<ShiftPair> shift_pairs(const std::vector<SweepCell>& cells);

}  // namespace tweedie::experiments
