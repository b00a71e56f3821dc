#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "diffusion/process.h"

namespace tweedie {

/// From which distribution training draws noise levels.
class NoiseLevels {
 public:
  virtual ~NoiseLevels() = default;
  /// The level below which a fraction u in (0, 1) of the draws lies (or above which: any monotone map will do).
  virtual double t_at(double u) const = 0;
  virtual std::string name() const = 0;
};

/// "uniform": t uniform over [t_min, t_max] of the process. "log-normal[:MEAN,STD]": log(sigma/alpha) normal (EDM,
/// Karras et al. 2022: -1.2, 1.2), cut to the process's range. "logit-normal[:MEAN,STD]": logit of t / t_max normal
/// (Esser et al. 2024). "uniform-log-snr": uniform log-SNR over the range. Throws UsageError for anything else.
std::unique_ptr<NoiseLevels> parse_noise_levels(std::string_view text, const Process& process);

}  // namespace tweedie
