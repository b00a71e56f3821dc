#include "diffusion/process.h"

#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>

#include "kernels/runtime/error.h"

namespace tweedie {

namespace {
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double half_pi = std::numbers::pi / 2.0;
constexpr std::array names = {"linear", "edm", "vp", "vp-song", "cosine"};  // in the order of Process::Kind

/// log(1 + exp(x)).
double softplus(double x) {
  return x > 0.0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}
}  // namespace

Process Process::linear() {
  return {Kind::linear, 1e-3, 1.0};
}
Process Process::edm() {
  return {Kind::edm, 0.002, 80.0};
}
Process Process::vp() {
  return {Kind::vp, 1e-3, 1.0};
}
Process Process::vp_song() {
  return {Kind::vp_song, 1e-3, 1.0};
}
Process Process::cosine() {
  return {Kind::cosine, 1e-3, 1.0};
}

Process Process::defaults_of(std::string_view name) {
  if (name == "linear") return linear();
  if (name == "edm") return edm();
  if (name == "vp") return vp();
  if (name == "vp-song") return vp_song();
  if (name == "cosine") return cosine();
  throw UsageError(fmt::format("process: unknown name '{}', expected linear, edm, vp, vp-song or cosine", name));
}

Process Process::named(std::string_view name, const std::map<std::string, double>& parameters) {
  Process process = defaults_of(name);
  for (const auto& [parameter, value] : parameters) {
    if (parameter == "t_min") {
      process.t_min_ = value;
    } else if (parameter == "t_max") {
      process.t_max_ = value;
    } else if (parameter == "beta_min" && process.variance_preserving()) {
      process.beta_min_ = value;
    } else if (parameter == "beta_slope" && process.variance_preserving()) {
      process.beta_slope_ = value;
    } else {
      throw UsageError(fmt::format("process {}: unknown parameter '{}'", name, parameter));
    }
  }
  const bool ends_at_one = process.kind_ == Kind::linear || process.kind_ == Kind::cosine;
  const double last = ends_at_one ? 1.0 : std::numeric_limits<double>::max();
  if (!(process.t_min_ >= 0.0 && process.t_min_ < process.t_max_ && process.t_max_ <= last))
    throw UsageError(fmt::format("process {}: t_min = {}, t_max = {}, expected 0 <= t_min < t_max{}", name,
                                 process.t_min_, process.t_max_, ends_at_one ? " <= 1" : ", both finite"));
  const bool rates_fit = process.beta_min_ >= 0.0 && process.beta_slope_ >= 0.0 && std::isfinite(process.beta_min_) &&
                         std::isfinite(process.beta_slope_) && process.beta_min_ + process.beta_slope_ > 0.0;
  if (!rates_fit)
    throw UsageError(
        fmt::format("process {}: beta_min = {}, beta_slope = {}, expected both >= 0, finite and not both 0", name,
                    process.beta_min_, process.beta_slope_));
  return process;
}

Process Process::from_json(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  require(json.is_object() && json.contains("name") && json["name"].is_string(),
          "process: '{}' is not a JSON object with a \"name\"", text);
  std::map<std::string, double> parameters;
  for (const auto& [key, value] : json.items()) {
    if (key == "name") continue;
    require(value.is_number(), "process: parameter '{}' is {}, expected a number", key, value.dump());
    parameters[key] = value.get<double>();
  }
  return named(json["name"].get<std::string>(), parameters);
}

std::string Process::name() const {
  return names[static_cast<std::size_t>(kind_)];
}

std::map<std::string, double> Process::parameters() const {
  std::map<std::string, double> parameters{{"t_min", t_min_}, {"t_max", t_max_}};
  if (variance_preserving()) {
    parameters["beta_min"] = beta_min_;
    parameters["beta_slope"] = beta_slope_;
  }
  return parameters;
}

std::string Process::json() const {
  nlohmann::ordered_json json{{"name", name()}};
  for (const auto& [parameter, value] : parameters()) json[parameter] = value;
  return json.dump();
}

void Process::check(double t) const {
  require(t >= 0.0 && t <= t_max_, "process {}: t = {} is outside [0, {}]", name(), t, t_max_);
}

double Process::decay(double t) const {
  return rate() * t * (beta_min_ + 0.5 * beta_slope_ * t);
}

double Process::decay_rate(double t) const {
  return rate() * (beta_min_ + beta_slope_ * t);
}

double Process::t_at_decay(double decay) const {
  const double integral = decay / rate();
  if (integral == 0.0) return 0.0;
  return 2.0 * integral / (beta_min_ + std::sqrt(beta_min_ * beta_min_ + 2.0 * beta_slope_ * integral));
}

double Process::alpha(double t) const {
  check(t);
  switch (kind_) {
    case Kind::linear:
      return 1.0 - t;
    case Kind::edm:
      return 1.0;
    case Kind::cosine:
      return t <= 0.5 ? std::cos(half_pi * t) : std::sin(half_pi * (1.0 - t));  // exactly 0 at t = 1
    default:
      return std::exp(-decay(t));
  }
}

double Process::sigma(double t) const {
  check(t);
  switch (kind_) {
    case Kind::linear:
    case Kind::edm:
      return t;
    case Kind::cosine:
      return std::sin(half_pi * t);
    default:
      return std::sqrt(-std::expm1(-2.0 * decay(t)));
  }
}

double Process::alpha_derivative(double t) const {
  check(t);
  switch (kind_) {
    case Kind::linear:
      return -1.0;
    case Kind::edm:
      return 0.0;
    case Kind::cosine:
      return -half_pi * sigma(t);
    default:
      return -decay_rate(t) * alpha(t);
  }
}

double Process::sigma_derivative(double t) const {
  check(t);
  switch (kind_) {
    case Kind::linear:
    case Kind::edm:
      return 1.0;
    case Kind::cosine:
      return half_pi * alpha(t);
    default: {
      const double a = alpha(t), s = sigma(t);
      return s > 0.0 ? a * a * decay_rate(t) / s : infinity;
    }
  }
}

double Process::rotation(double t) const {
  check(t);
  switch (kind_) {
    case Kind::linear:  // alpha + sigma
    case Kind::edm:
      return 1.0;
    case Kind::cosine:
      return half_pi;
    default: {  // alpha^2 + sigma^2 = 1
      const double s = sigma(t);
      return s > 0.0 ? alpha(t) * decay_rate(t) / s : infinity;
    }
  }
}

double Process::f(double t) const {
  check(t);
  switch (kind_) {
    case Kind::linear:
      return -1.0 / (1.0 - t);
    case Kind::edm:
      return 0.0;
    case Kind::cosine: {
      const double a = alpha(t);
      return a > 0.0 ? -half_pi * sigma(t) / a : -infinity;
    }
    default:
      return -decay_rate(t);
  }
}

double Process::g2(double t) const {
  check(t);
  switch (kind_) {
    case Kind::linear:
      return 2.0 * t / (1.0 - t);
    case Kind::edm:
      return 2.0 * t;
    case Kind::cosine: {
      const double a = alpha(t);
      return a > 0.0 ? 2.0 * half_pi * sigma(t) / a : infinity;
    }
    default:
      return 2.0 * decay_rate(t);
  }
}

double Process::log_snr(double t) const {
  check(t);
  if (variance_preserving()) {
    const double twice = 2.0 * decay(t);
    return -twice - std::log(-std::expm1(-twice));  // alpha^2/(1 - alpha^2), also where alpha underflows
  }
  return 2.0 * (std::log(alpha(t)) - std::log(sigma(t)));
}

double Process::inside(double t, const char* what, double value) const {
  constexpr double slack = 1e-9;  // a round trip through an exponential loses this much at the most
  require(t >= 0.0 && t <= t_max_ * (1.0 + slack), "process {}: no t in [0, {}] has {} {}", name(), t_max_, what,
          value);
  return t < t_max_ ? t : t_max_;
}

double Process::t_at_log_snr(double log_snr) const {
  double t = 0.0;
  switch (kind_) {
    case Kind::linear:
      t = 1.0 / (1.0 + std::exp(0.5 * log_snr));
      break;
    case Kind::edm:
      t = std::exp(-0.5 * log_snr);
      break;
    case Kind::cosine:
      t = std::atan(std::exp(-0.5 * log_snr)) / half_pi;
      break;
    default:
      t = t_at_decay(0.5 * softplus(-log_snr));
  }
  return inside(t, "log-SNR", log_snr);
}

double Process::t_at_sigma(double sigma) const {
  double t = sigma;
  if (kind_ == Kind::cosine) t = std::asin(sigma) / half_pi;
  if (variance_preserving()) t = t_at_decay(-0.5 * std::log1p(-sigma * sigma));
  return inside(t, "sigma", sigma);
}

}  // namespace tweedie
