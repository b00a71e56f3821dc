#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "diffusion/view.h"

namespace tweedie {

/// What an error counts at a noise level: the weight of the squared error of the network's raw output.
class Weighting {
 public:
  virtual ~Weighting() = default;
  virtual double weight(const Process& process, double t, const Parameterisation& parameterisation) const = 0;
  virtual std::string name() const = 0;
};

/// "raw": 1 in the network's own output. "x0", "eps", "v", "score": 1 in the error of that view. "edm[:SIGMA_DATA]":
/// (s^2 + d^2)/(s d)^2 on the x0 error with s = sigma/alpha (Karras et al. 2022; 1 in the raw output of their
/// preconditioning). "min-snr[:GAMMA]": min(SNR, gamma) on the x0 error (Hang et al. 2023; 5).
/// Throws UsageError for anything else.
std::unique_ptr<Weighting> parse_weighting(std::string_view text);

}  // namespace tweedie
