#pragma once

#include <memory>
#include <span>
#include <string>

#include "diffusion/draw.h"
#include "diffusion/process.h"

namespace tweedie {

/// *What* a network's raw output is regressed on (the second part of an intervention).
class Target {
 public:
  virtual ~Target() = default;
  /// What a draw must hold; an objective whose source cannot supply it fails when it is built.
  virtual DrawFields needs() const = 0;
  /// (N, H, W, C), in the units of the raw output, at the level the network is told.
  virtual Tensor target(const Draw& draw, const Process& process, const Parameterisation& parameterisation) const = 0;
  virtual std::string name() const = 0;
};

/// Denoising score matching (Vincent 2011): c_x x + c_e e of the very image and noise that made the state; noisy, and
/// unbiased for the empirical score.
class ConditionalTarget final : public Target {
 public:
  DrawFields needs() const override { return DrawFields::conditional_target; }
  Tensor target(const Draw& draw, const Process& process, const Parameterisation& parameterisation) const override;
  std::string name() const override { return "conditional"; }
};

/// The target from clean images x^ (N d) estimated at the states of a draw, at the levels told: c_x x^ + c_e (z - alpha
/// x^)/sigma, formed in double.
Tensor target_of_clean(const Draw& draw, std::span<const double> clean, const Process& process,
                       const Parameterisation& parameterisation);

}  // namespace tweedie
