#include "diffusion/noise_levels.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>

#include "kernels/runtime/error.h"

namespace tweedie {
namespace {

/// Inverse of the standard normal distribution function, by bisection on erfc: exact to double, called once a draw.
double normal_quantile(double u) {
  double low = -9.0, high = 9.0;
  for (int i = 0; i < 80; ++i) {
    const double middle = 0.5 * (low + high);
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < u ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

class MappedLevels final : public NoiseLevels {
 public:
  MappedLevels(std::string name, std::function<double(double)> map) : name_(std::move(name)), map_(std::move(map)) {}
  double t_at(double u) const override { return map_(u); }
  std::string name() const override { return name_; }

 private:
  std::string name_;
  std::function<double(double)> map_;
};

struct Normal {
  double mean, deviation;
};

Normal parse_normal(std::string_view text, std::string_view parameters, Normal defaults) {
  if (parameters.empty()) return defaults;
  const auto number = [&](std::string_view part) {
    double value = 0.0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || end != part.data() + part.size() || !std::isfinite(value))
      throw UsageError(fmt::format("noise levels '{}': '{}' is not a number", text, part));
    return value;
  };
  const auto comma = parameters.find(',');
  if (comma == std::string_view::npos)
    throw UsageError(fmt::format("noise levels '{}': expected NAME:MEAN,DEVIATION", text));
  const Normal normal{number(parameters.substr(0, comma)), number(parameters.substr(comma + 1))};
  if (!(normal.deviation > 0.0))
    throw UsageError(fmt::format("noise levels '{}': the deviation must be positive", text));
  return normal;
}

}  // namespace

std::unique_ptr<NoiseLevels> parse_noise_levels(std::string_view text, const Process& process) {
  const auto colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  const std::string_view parameters = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  const double t_min = process.t_min(), t_max = process.t_max();
  const auto make = [&](std::function<double(double)> map) {
    return std::make_unique<MappedLevels>(std::string(text), std::move(map));
  };
  if (kind == "uniform" && parameters.empty()) return make([=](double u) { return t_min + u * (t_max - t_min); });
  if (kind == "log-normal") {
    const Normal normal = parse_normal(text, parameters, {-1.2, 1.2});
    return make([=](double u) {
      const double log_snr = -2.0 * (normal.mean + normal.deviation * normal_quantile(u));
      return process.t_at_log_snr(std::clamp(log_snr, process.log_snr(t_max), process.log_snr(t_min)));
    });
  }
  if (kind == "logit-normal") {
    const Normal normal = parse_normal(text, parameters, {0.0, 1.0});
    return make([=](double u) {
      const double logit = normal.mean + normal.deviation * normal_quantile(u);
      return std::clamp(t_max / (1.0 + std::exp(-logit)), t_min, t_max);
    });
  }
  if (kind == "uniform-log-snr" && parameters.empty()) {
    require(std::isfinite(process.log_snr(t_max)) && std::isfinite(process.log_snr(t_min)),
            "noise levels 'uniform-log-snr': the {} process has infinite log-SNR at an end of [{}, {}]; set t_max",
            process.name(), t_min, t_max);
    return make([=](double u) {
      return process.t_at_log_snr(process.log_snr(t_min) + u * (process.log_snr(t_max) - process.log_snr(t_min)));
    });
  }
  throw UsageError(
      fmt::format("noise levels '{}': expected uniform, log-normal[:MEAN,DEVIATION], logit-normal[:MEAN,DEVIATION] or "
                  "uniform-log-snr",
                  text));
}

}  // namespace tweedie
