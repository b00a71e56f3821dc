#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "diffusion/input_source.h"
#include "diffusion/noise_levels.h"
#include "diffusion/target.h"
#include "diffusion/weighting.h"

namespace tweedie {

/// Classifier-free training (Ho and Salimans 2022): a share of a batch's labels becomes the null label, keyed by (seed,
/// Purpose::label_drop, step, index in the batch). Held-out batches keep their labels.
struct LabelDrop {
  double probability = 0.0;
  std::int64_t null_label = 0;
};

/// One regression: *where* x *what* x *weight*. Every training objective of this library is one of these.
class Objective {
 public:
  /// Throws Error where the source cannot supply what the target needs.
  Objective(std::shared_ptr<const InputSource> source, std::shared_ptr<const Target> target,
            std::shared_ptr<const Weighting> weighting, std::shared_ptr<const NoiseLevels> levels,
            const LabelDrop& label_drop = {});

  /// A part of a step's batch, ready for a network: inputs, targets and weights.
  struct Batch {
    Draw draw;
    Tensor target;                // (N, H, W, C)
    Tensor weight;                // (N)
    std::vector<double> weights;  // the same on the host
  };
  Batch batch(std::uint64_t seed, std::uint32_t step, std::int64_t first, std::int64_t count,
              const Parameterisation& parameterisation, bool held_out = false) const;

  const InputSource& source() const { return *source_; }
  /// Asks the source for more than the target needs. Throws Error where it cannot supply it, naming `who` wants it.
  void require_fields(DrawFields fields, std::string_view who);
  /// Denoising score matching on other states (held-out data) with the same weight and levels: whatever the target, the
  /// held-out loss then measures the same thing.
  Objective denoising(std::shared_ptr<const InputSource> source) const;
  std::string describe() const;

 private:
  std::shared_ptr<const InputSource> source_;
  std::shared_ptr<const Target> target_;
  std::shared_ptr<const Weighting> weighting_;
  std::shared_ptr<const NoiseLevels> levels_;
  LabelDrop label_drop_;
  DrawFields more_;
};

}  // namespace tweedie
