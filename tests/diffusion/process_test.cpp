#include "diffusion/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "kernels/runtime/error.h"

namespace tweedie {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

std::vector<Process> processes() {
  return {Process::linear(), Process::edm(),
          Process::vp(),     Process::vp_song(),
          Process::cosine(), Process::named("vp", {{"beta_min", 0.0}, {"beta_slope", 4.0}, {"t_max", 2.0}})};
}

std::vector<double> inner_times(const Process& process) {
  std::vector<double> times;
  for (double u : {0.003, 0.05, 0.2, 0.5, 0.77, 0.99}) times.push_back(u * process.t_max());
  return times;
}

/// Fourth-order central difference: exact to about 1e-11 relative here.
template <class F>
double derivative(const F& function, double t, double t_max) {
  const double h = 1e-3 * std::min(t, t_max - t);
  return (8.0 * (function(t + h) - function(t - h)) - (function(t + 2 * h) - function(t - 2 * h))) / (12.0 * h);
}

void expect_close(double value, double expected, double tolerance, const std::string& what) {
  EXPECT_LE(std::abs(value - expected), tolerance * (1.0 + std::abs(expected)))
      << what << ": " << value << " " << expected;
}

TEST(Process, StatesItsFormulas) {
  EXPECT_DOUBLE_EQ(Process::linear().alpha(0.25), 0.75);
  EXPECT_DOUBLE_EQ(Process::linear().sigma(0.25), 0.25);
  EXPECT_DOUBLE_EQ(Process::edm().alpha(3.0), 1.0);
  EXPECT_DOUBLE_EQ(Process::edm().sigma(3.0), 3.0);
  EXPECT_DOUBLE_EQ(Process::vp().alpha(0.3), std::exp(-(0.1 * 0.3 + 19.9 * 0.045)));
  EXPECT_DOUBLE_EQ(Process::vp_song().alpha(0.3), std::exp(-0.5 * (0.1 * 0.3 + 19.9 * 0.045)));
  EXPECT_DOUBLE_EQ(Process::vp().g2(0.3), 2.0 * (0.1 + 19.9 * 0.3));
  EXPECT_DOUBLE_EQ(Process::vp_song().g2(0.3), 0.1 + 19.9 * 0.3);
  EXPECT_DOUBLE_EQ(Process::cosine().alpha(1.0 / 3.0), std::sqrt(3.0) / 2.0);
  EXPECT_DOUBLE_EQ(Process::cosine().sigma(1.0 / 3.0), 0.5);
  EXPECT_EQ(Process::cosine().alpha(1.0), 0.0);
  EXPECT_EQ(Process::linear().alpha(1.0), 0.0);
}

TEST(Process, DerivativesAgreeWithDifferences) {
  for (const Process& process : processes()) {
    for (double t : inner_times(process)) {
      const std::string at = process.name() + " t = " + std::to_string(t);
      const double a = process.alpha(t), s = process.sigma(t);
      const double da = derivative([&](double u) { return process.alpha(u); }, t, process.t_max());
      const double ds = derivative([&](double u) { return process.sigma(u); }, t, process.t_max());
      const double ds2 = derivative([&](double u) { return process.sigma(u) * process.sigma(u); }, t, process.t_max());
      expect_close(process.alpha_derivative(t), da, 1e-9, "alpha' " + at);
      expect_close(process.sigma_derivative(t), ds, 1e-9, "sigma' " + at);
      expect_close(process.rotation(t), ds * a - da * s, 1e-9, "rotation " + at);
      expect_close(process.f(t), da / a, 1e-8, "f " + at);
      expect_close(process.g2(t), ds2 - 2.0 * (da / a) * s * s, 1e-8, "g2 " + at);
      expect_close(process.log_snr(t), std::log(a * a / (s * s)), 1e-10, "log-SNR " + at);
    }
  }
}

TEST(Process, VariancePreservingOnesPreserveIt) {
  for (const Process& process : {Process::vp(), Process::vp_song(), Process::cosine()})
    for (double t : {0.0, 1e-9, 1e-4, 0.3, 1.0})
      EXPECT_NEAR(std::pow(process.alpha(t), 2) + std::pow(process.sigma(t), 2), 1.0, 4e-16) << process.name() << t;
  // Near t = 0 the noise is the square root of a small integral: no digits may be lost.
  EXPECT_NEAR(Process::vp().sigma(1e-12) / std::sqrt(2e-13), 1.0, 1e-9);
}

TEST(Process, InversesReturnTheTime) {
  for (const Process& process : processes()) {
    for (double t : inner_times(process)) {
      EXPECT_NEAR(process.t_at_log_snr(process.log_snr(t)) / t, 1.0, 1e-12) << process.name() << " " << t;
      if (process.sigma(t) < 0.99 || process.name() == "edm") {
        EXPECT_NEAR(process.t_at_sigma(process.sigma(t)) / t, 1.0, 1e-12) << process.name() << " " << t;
      }
    }
    EXPECT_EQ(process.t_at_log_snr(infinity), 0.0) << process.name();
    EXPECT_EQ(process.log_snr(0.0), infinity) << process.name();
    EXPECT_NEAR(process.t_at_log_snr(process.log_snr(process.t_max())), process.t_max(), 1e-9) << process.name();
  }
  EXPECT_EQ(Process::linear().log_snr(1.0), -infinity);
  EXPECT_EQ(Process::linear().t_at_log_snr(-infinity), 1.0);
  EXPECT_EQ(Process::cosine().t_at_log_snr(-infinity), 1.0);
}

TEST(Process, EndsOfTheRange) {
  EXPECT_EQ(Process::vp().sigma_derivative(0.0), infinity);
  EXPECT_EQ(Process::vp().rotation(0.0), infinity);
  EXPECT_EQ(Process::linear().f(1.0), -infinity);
  EXPECT_EQ(Process::linear().g2(1.0), infinity);
  EXPECT_EQ(Process::cosine().f(1.0), -infinity);
  EXPECT_EQ(Process::cosine().g2(1.0), infinity);
}

TEST(Process, TimesOutsideTheRangeAreNamed) {
  for (const Process& process : processes()) {
    for (double t : {-1e-9, process.t_max() * 1.001, std::nan(""), infinity}) {
      EXPECT_THROW(process.alpha(t), Error);
      EXPECT_THROW(process.sigma(t), Error);
      EXPECT_THROW(process.g2(t), Error);
      EXPECT_THROW(process.log_snr(t), Error);
    }
  }
  try {
    Process::vp_song().alpha(1.5);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "process vp-song: t = 1.5 is outside [0, 1]");
  }
  EXPECT_THROW(Process::edm().t_at_sigma(81.0), Error);
  EXPECT_THROW(Process::vp().t_at_log_snr(-50.0), Error);
  EXPECT_THROW(Process::vp().t_at_sigma(1.0), Error);
  EXPECT_THROW(Process::cosine().t_at_sigma(1.1), Error);
  EXPECT_THROW(Process::linear().t_at_log_snr(std::nan("")), Error);
}

TEST(Process, IsBuiltByNameAndJson) {
  for (const Process& process : processes()) {
    EXPECT_EQ(Process::named(process.name(), process.parameters()), process);
    EXPECT_EQ(Process::from_json(process.json()), process) << process.json();
  }
  EXPECT_EQ(Process::named("edm", {{"t_max", 157.3}}).sigma(157.0), 157.0);
  EXPECT_THROW(Process::named("linea"), UsageError);
  EXPECT_THROW(Process::named("linear", {{"beta_min", 1.0}}), UsageError);
  EXPECT_THROW(Process::named("linear", {{"t_max", 1.5}}), UsageError);
  EXPECT_THROW(Process::named("edm", {{"t_min", 90.0}}), UsageError);
  EXPECT_THROW(Process::named("vp", {{"beta_min", -1.0}}), UsageError);
  EXPECT_THROW(Process::named("vp", {{"beta_min", 0.0}, {"beta_slope", 0.0}}), UsageError);
  EXPECT_THROW(Process::named("vp", {{"beta_slope", std::nan("")}}), UsageError);
  EXPECT_THROW(Process::from_json("{\"t_min\": 1}"), Error);
  EXPECT_THROW(Process::from_json("{"), Error);
  EXPECT_THROW(Process::from_json("{\"name\": \"vp\", \"beta_min\": \"x\"}"), Error);
}

}  // namespace
}  // namespace tweedie
