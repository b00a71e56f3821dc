#include "diffusion/view.h"

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "kernels/runtime/error.h"

namespace tweedie {

namespace {

constexpr std::array view_names = {"eps", "x0", "v", "score"};
constexpr std::array time_input_names = {"1000t", "t", "sigma", "log_sigma_over_4"};

using Preconditioning = Parameterisation::Preconditioning;

/// Coefficients with alpha, sigma and the determinant c_x sigma - c_e alpha, formed without cancellation: it says how
/// much the quantity knows beyond z.
struct Target {
  Coefficients c;
  double determinant;
};

Target target(const Process& process, double t, View view) {
  switch (view) {
    case View::eps:
      return {{0.0, 1.0}, -process.alpha(t)};
    case View::x0:
      return {{1.0, 0.0}, process.sigma(t)};
    case View::v: {
      const double rotation = process.rotation(t);
      require(std::isfinite(rotation), "view v: the velocity of process {} is infinite at t = {}", process.name(), t);
      return {{process.alpha_derivative(t), process.sigma_derivative(t)}, -rotation};
    }
    case View::score: {
      const double sigma = process.sigma(t);
      require(sigma > 0.0,
              "view score: the score of process {} is infinite at t = {}, where sigma = 0; ask for x0 or v",
              process.name(), t);
      return {{0.0, -1.0 / sigma}, process.alpha(t) / sigma};
    }
  }
  fail("view: unknown view {}", static_cast<int>(view));
}

/// sqrt(sigma^2 + alpha^2 sigma_data^2).
double edm_radius(const Process& process, double t, const Parameterisation& parameterisation) {
  return std::hypot(process.sigma(t), process.alpha(t) * parameterisation.sigma_data);
}

Target target(const Process& process, double t, const Parameterisation& parameterisation) {
  if (parameterisation.preconditioning == Preconditioning::plain) return target(process, t, parameterisation.view);
  const double d = parameterisation.sigma_data;
  const double r = edm_radius(process, t, parameterisation);
  return {{process.sigma(t) / (d * r), -process.alpha(t) * d / r}, r / d};
}

std::string describe(View view) {
  return std::string(name_of(view));
}
std::string describe(const Parameterisation& parameterisation) {
  return parameterisation.preconditioning == Preconditioning::edm ? "edm output" : describe(parameterisation.view);
}

template <class From>
ViewConversion convert(const Process& process, double t, const From& from, View to) {
  const Target source = target(process, t, from);
  const Target result = target(process, t, to);
  const double cross = source.c.x * result.c.e - source.c.e * result.c.x;
  if (cross == 0.0) {  // the same direction: z is not needed
    const bool use_x = std::abs(source.c.x) > std::abs(source.c.e);
    return {use_x ? result.c.x / source.c.x : result.c.e / source.c.e, 0.0};
  }
  require(source.determinant != 0.0,
          "view: {} cannot be converted to {} at t = {} of process {} (alpha = {}, sigma = {}): z and {} say the same "
          "there; {}",
          describe(from), describe(to), t, process.name(), process.alpha(t), process.sigma(t), describe(from),
          process.alpha(t) == 0.0 ? "start from a smaller t" : "end at a larger t");
  return {result.determinant / source.determinant, cross / source.determinant};
}

template <class To>
ViewConversion from_mean(const Process& process, double t, const To& to) {
  const double sigma = process.sigma(t);
  require(sigma > 0.0, "view: no target from a posterior mean at t = {} of process {}, where sigma = 0", t,
          process.name());
  const Target result = target(process, t, to);
  return {result.determinant / sigma, result.c.e / sigma};
}

}  // namespace

std::string_view name_of(View view) {
  return view_names[static_cast<std::size_t>(view)];
}

View parse_view(std::string_view name) {
  for (std::size_t i = 0; i < view_names.size(); ++i)
    if (name == view_names[i]) return static_cast<View>(i);
  throw UsageError(fmt::format("view: unknown name '{}', expected eps, x0, v or score", name));
}

std::string_view name_of(TimeInput input) {
  return time_input_names[static_cast<std::size_t>(input)];
}

TimeInput parse_time_input(std::string_view name) {
  for (std::size_t i = 0; i < time_input_names.size(); ++i)
    if (name == time_input_names[i]) return static_cast<TimeInput>(i);
  throw UsageError(fmt::format("time input: unknown name '{}', expected 1000t, t, sigma or log_sigma_over_4", name));
}

double time_input(const Process& process, double t, TimeInput input) {
  switch (input) {
    case TimeInput::t1000:
      return 1000.0 * t;
    case TimeInput::t:
      return t;
    case TimeInput::sigma:
      return process.sigma(t);
    case TimeInput::log_sigma_over_4: {
      const double value = -process.log_snr(t) / 8.0;
      require(std::isfinite(value), "time input log_sigma_over_4: infinite at t = {} of process {}", t, process.name());
      return value;
    }
  }
  fail("time input: unknown input {}", static_cast<int>(input));
}

Parameterisation Parameterisation::plain(View view, TimeInput time_input) {
  return {.preconditioning = Preconditioning::plain, .view = view, .time_input = time_input};
}

Parameterisation Parameterisation::edm(double sigma_data, TimeInput time_input) {
  if (!(sigma_data > 0.0 && std::isfinite(sigma_data)))
    throw UsageError(fmt::format("preconditioning edm: sigma_data = {}, expected above 0 and finite", sigma_data));
  return {
      .preconditioning = Preconditioning::edm, .view = View::x0, .sigma_data = sigma_data, .time_input = time_input};
}

std::string Parameterisation::json() const {
  nlohmann::ordered_json json;
  if (preconditioning == Preconditioning::plain) {
    json = {{"preconditioning", "plain"}, {"view", name_of(view)}};
  } else {
    json = {{"preconditioning", "edm"}, {"sigma_data", sigma_data}};
  }
  json["time_input"] = name_of(time_input);
  return json.dump();
}

Parameterisation Parameterisation::from_json(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  require(json.is_object(), "parameterisation: '{}' is not a JSON object", text);
  const auto string_field = [&](const char* key) {
    require(json.contains(key) && json[key].is_string(), "parameterisation {}: \"{}\" is not a string", text, key);
    return json[key].template get<std::string>();
  };
  const std::string preconditioning = string_field("preconditioning");
  const TimeInput input = parse_time_input(string_field("time_input"));
  if (preconditioning == "plain") return plain(parse_view(string_field("view")), input);
  require(preconditioning == "edm", "parameterisation: unknown preconditioning '{}', expected plain or edm",
          preconditioning);
  require(json.contains("sigma_data") && json["sigma_data"].is_number(),
          "parameterisation {}: \"sigma_data\" is not a number", text);
  return edm(json["sigma_data"].get<double>(), input);
}

double input_scale(const Process& process, double t, const Parameterisation& parameterisation) {
  if (parameterisation.preconditioning == Preconditioning::plain) return 1.0;
  return 1.0 / edm_radius(process, t, parameterisation);
}

Coefficients target_coefficients(const Process& process, double t, View view) {
  return target(process, t, view).c;
}
Coefficients target_coefficients(const Process& process, double t, const Parameterisation& parameterisation) {
  return target(process, t, parameterisation).c;
}

ViewConversion from_posterior_mean(const Process& process, double t, View view) {
  return from_mean(process, t, view);
}
ViewConversion from_posterior_mean(const Process& process, double t, const Parameterisation& parameterisation) {
  return from_mean(process, t, parameterisation);
}

ViewConversion conversion(const Process& process, double t, View from, View to) {
  return convert(process, t, from, to);
}
ViewConversion conversion(const Process& process, double t, const Parameterisation& from, View to) {
  return convert(process, t, from, to);
}

double error_factor(const Process& process, double t, View from, View to) {
  const double p = conversion(process, t, from, to).p;
  return p * p;
}

}  // namespace tweedie
