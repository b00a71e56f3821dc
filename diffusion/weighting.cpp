#include "diffusion/weighting.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>

#include "kernels/runtime/error.h"

namespace tweedie {
namespace {

double squared(double value) {
  return value * value;
}

/// A weight `of_level` on the squared error of one view.
class ViewWeighting final : public Weighting {
 public:
  using Level = std::function<double(const Process&, double)>;
  ViewWeighting(std::string name, View view, Level of_level)
      : name_(std::move(name)), view_(view), of_level_(std::move(of_level)) {}
  double weight(const Process& process, double t, const Parameterisation& parameterisation) const override {
    const double value = of_level_(process, t) * squared(conversion(process, t, parameterisation, view_).p);
    require(std::isfinite(value), "weighting '{}': infinite at t = {}; draw noise levels inside the range", name_, t);
    return value;
  }
  std::string name() const override { return name_; }

 private:
  std::string name_;
  View view_;
  Level of_level_;
};

class RawWeighting final : public Weighting {
 public:
  double weight(const Process&, double, const Parameterisation&) const override { return 1.0; }
  std::string name() const override { return "raw"; }
};

double positive_parameter(std::string_view text, std::string_view part, double value) {
  if (part.empty()) return value;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
  if (error != std::errc() || end != part.data() + part.size() || !(value > 0.0))
    throw UsageError(fmt::format("weighting '{}': '{}' is not a positive number", text, part));
  return value;
}

}  // namespace

std::unique_ptr<Weighting> parse_weighting(std::string_view text) {
  const auto colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  const std::string_view parameter = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  const std::string name(text);
  if (text == "raw") return std::make_unique<RawWeighting>();
  if (text == "x0" || text == "eps" || text == "v" || text == "score")
    return std::make_unique<ViewWeighting>(name, parse_view(text), [](const Process&, double) { return 1.0; });
  if (kind == "edm") {
    const double data = positive_parameter(text, parameter, 0.5);
    return std::make_unique<ViewWeighting>(name, View::x0, [data](const Process& process, double t) {
      const double sigma = process.sigma(t) / process.alpha(t);
      return (squared(sigma) + squared(data)) / squared(sigma * data);
    });
  }
  if (kind == "min-snr") {
    const double gamma = positive_parameter(text, parameter, 5.0);
    return std::make_unique<ViewWeighting>(name, View::x0, [gamma](const Process& process, double t) {
      return std::min(std::exp(process.log_snr(t)), gamma);
    });
  }
  throw UsageError(
      fmt::format("weighting '{}': expected raw, x0, eps, v, score, edm[:SIGMA_DATA] or min-snr[:GAMMA]", text));
}

}  // namespace tweedie
