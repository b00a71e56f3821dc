#include "diffusion/view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "kernels/runtime/error.h"

namespace tweedie {
namespace {

using ::testing::HasSubstr;

const std::vector<View> views = {View::eps, View::x0, View::v, View::score};
const std::vector<Process> processes = {Process::linear(), Process::edm(), Process::vp(), Process::vp_song(),
                                        Process::cosine()};

template <class F>
std::string message_of(const F& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

/// A point with everything known about it.
struct Point {
  double x, e, a, s, z;
  Point(const Process& process, double t, double clean, double noise)
      : x(clean), e(noise), a(process.alpha(t)), s(process.sigma(t)), z(a * x + s * e) {}
};

double value_of(const Process& process, double t, const Point& point, View view) {
  switch (view) {
    case View::eps:
      return point.e;
    case View::x0:
      return point.x;
    case View::v:
      return process.alpha_derivative(t) * point.x + process.sigma_derivative(t) * point.e;
    case View::score:
      return -point.e / point.s;
  }
  return 0.0;
}

TEST(View, TheVelocityIsTheDerivativeOfThePath) {
  for (const Process& process : processes) {
    for (double u : {0.1, 0.5, 0.9}) {
      const double t = u * process.t_max(), h = 1e-5 * process.t_max();
      const double slope = (Point(process, t + h, 0.7, -1.3).z - Point(process, t - h, 0.7, -1.3).z) / (2.0 * h);
      const Coefficients v = target_coefficients(process, t, View::v);
      EXPECT_NEAR(v.x * 0.7 + v.e * -1.3, slope, 1e-6 * (1.0 + std::abs(slope))) << process.name() << " " << t;
    }
  }
}

TEST(View, TheCosineVelocityIsTheAngularOneTimesHalfPi) {
  for (double t : {0.0, 0.2, 0.9, 1.0}) {
    const Coefficients v = target_coefficients(Process::cosine(), t, View::v);
    EXPECT_NEAR(v.x, -std::numbers::pi / 2.0 * Process::cosine().sigma(t), 1e-15);
    EXPECT_NEAR(v.e, std::numbers::pi / 2.0 * Process::cosine().alpha(t), 1e-15);
  }
}

TEST(View, EveryViewConvertsToEveryOther) {
  for (const Process& process : processes) {
    for (double u : {1e-3, 0.1, 0.4, 0.8, 0.98}) {
      const double t = u * process.t_max();
      const Point point(process, t, 0.7, -1.3);
      for (View from : views) {
        for (View to : views) {
          const ViewConversion c = conversion(process, t, from, to);
          const double expected = value_of(process, t, point, to);
          const double left = c.p * value_of(process, t, point, from), right = c.q * point.z;
          // Rounding of the two terms, which cancel where `from` says little about `to`.
          EXPECT_NEAR(left + right, expected, 1e-13 * (std::abs(left) + std::abs(right)))
              << process.name() << " t = " << t << " " << name_of(from) << " to " << name_of(to);
          const double factor = error_factor(process, t, from, to);
          EXPECT_DOUBLE_EQ(factor, c.p * c.p);
        }
      }
    }
  }
}

TEST(View, TheLinearPathHasItsTextbookFormulas) {
  const Process linear = Process::linear();
  const double t = 0.3;
  const ViewConversion v = conversion(linear, t, View::score, View::v);
  EXPECT_DOUBLE_EQ(v.p, -t / (1.0 - t));
  EXPECT_DOUBLE_EQ(v.q, -1.0 / (1.0 - t));
  const ViewConversion x = conversion(linear, t, View::score, View::x0);
  EXPECT_DOUBLE_EQ(x.p, t * t / (1.0 - t));
  EXPECT_DOUBLE_EQ(x.q, 1.0 / (1.0 - t));
  EXPECT_DOUBLE_EQ(error_factor(linear, t, View::score, View::v), t * t / ((1.0 - t) * (1.0 - t)));
  EXPECT_DOUBLE_EQ(error_factor(linear, t, View::score, View::eps), t * t);
}

TEST(View, TheVelocityIsTheProbabilityFlow) {
  for (const Process& process : processes) {
    for (double u : {1e-3, 0.2, 0.7, 0.99}) {
      const double t = u * process.t_max();
      const ViewConversion c = conversion(process, t, View::score, View::v);
      EXPECT_NEAR(c.p, -0.5 * process.g2(t), 1e-12 * process.g2(t)) << process.name() << " " << t;
      EXPECT_NEAR(c.q, process.f(t), 1e-12 * (1.0 + std::abs(process.f(t)))) << process.name() << " " << t;
    }
  }
}

TEST(View, EndsOfTheLinearPath) {
  const Process linear = Process::linear();
  // At t = 1 a model that answers in v or x0 determines everything.
  EXPECT_EQ(conversion(linear, 1.0, View::v, View::x0).p, -1.0);
  EXPECT_EQ(conversion(linear, 1.0, View::v, View::x0).q, 1.0);
  EXPECT_EQ(conversion(linear, 1.0, View::v, View::score).p, 0.0);
  EXPECT_EQ(conversion(linear, 1.0, View::v, View::score).q, -1.0);
  EXPECT_EQ(conversion(linear, 1.0, View::x0, View::v).p, -1.0);
  EXPECT_EQ(conversion(linear, 1.0, View::x0, View::v).q, 1.0);
  EXPECT_EQ(conversion(linear, 1.0, View::eps, View::score).p, -1.0);
  EXPECT_THAT(message_of([&] { conversion(linear, 1.0, View::eps, View::x0); }),
              HasSubstr("eps cannot be converted to x0 at t = 1 of process linear"));
  EXPECT_THROW(conversion(linear, 1.0, View::score, View::v), Error);
  // At t = 0 the denoiser is the identity and the score does not exist.
  EXPECT_EQ(conversion(linear, 0.0, View::v, View::x0).p, 0.0);
  EXPECT_EQ(conversion(linear, 0.0, View::v, View::x0).q, 1.0);
  EXPECT_EQ(conversion(linear, 0.0, View::eps, View::x0).p, 0.0);
  EXPECT_EQ(conversion(linear, 0.0, View::eps, View::x0).q, 1.0);
  EXPECT_EQ(conversion(linear, 0.0, View::x0, View::x0).p, 1.0);
  EXPECT_THAT(message_of([&] { conversion(linear, 0.0, View::x0, View::v); }),
              HasSubstr("x0 cannot be converted to v at t = 0"));
  for (View view : views) EXPECT_THROW(conversion(linear, 0.0, view, View::score), Error);
  EXPECT_THROW(target_coefficients(linear, 0.0, View::score), Error);
  EXPECT_THROW(target_coefficients(Process::vp(), 0.0, View::v), Error);
  EXPECT_THROW(conversion(linear, 1.5, View::v, View::x0), Error);
}

TEST(View, PosteriorMeansBecomeTargets) {
  const Parameterisation edm = Parameterisation::edm(0.5);
  for (const Process& process : processes) {
    for (double u : {1e-4, 0.3, 0.9, 1.0}) {
      const double t = u * process.t_max();
      const double a = process.alpha(t), s = process.sigma(t), z = 0.4, mean = -0.6;
      const double noise = (z - a * mean) / s;
      for (View view : views) {
        const Coefficients c = target_coefficients(process, t, view);
        const ViewConversion direct = from_posterior_mean(process, t, view);
        const double scale = std::abs(c.x) + std::abs(c.e) * (std::abs(z) + std::abs(a)) / s;
        EXPECT_NEAR(direct.p * mean + direct.q * z, c.x * mean + c.e * noise, 1e-14 * scale) << name_of(view) << t;
      }
      const Coefficients c = target_coefficients(process, t, edm);
      const ViewConversion direct = from_posterior_mean(process, t, edm);
      EXPECT_NEAR(direct.p * mean + direct.q * z, c.x * mean + c.e * noise, 1e-13 * (1.0 + std::abs(noise)));
    }
    EXPECT_THROW(from_posterior_mean(process, 0.0, View::x0), Error);
  }
}

TEST(Parameterisation, EdmIsKarrasTableOne) {
  const double d = 0.5;
  const Parameterisation edm = Parameterisation::edm(d);
  for (double sigma : {0.002, 0.1, 0.5, 3.0, 80.0}) {
    const double skip = d * d / (sigma * sigma + d * d);
    const double out = sigma * d / std::sqrt(sigma * sigma + d * d);
    const Coefficients c = target_coefficients(Process::edm(), sigma, edm);
    EXPECT_NEAR(c.x, (1.0 - skip) / out, 1e-10 * c.x);  // the textbook form cancels at small sigma
    EXPECT_NEAR(c.e, -skip * sigma / out, 1e-14);
    EXPECT_DOUBLE_EQ(input_scale(Process::edm(), sigma, edm), 1.0 / std::sqrt(sigma * sigma + d * d));
    EXPECT_NEAR(time_input(Process::edm(), sigma, edm.time_input), std::log(sigma) / 4.0, 1e-15);
    const ViewConversion denoiser = conversion(Process::edm(), sigma, edm, View::x0);
    EXPECT_NEAR(denoiser.p, out, 1e-14 * out);
    EXPECT_NEAR(denoiser.q, skip, 1e-14);
  }
}

TEST(Parameterisation, EdmWorksOnEveryProcessAndAtItsEnds) {
  const Parameterisation edm = Parameterisation::edm(0.7);
  for (const Process& process : processes) {
    for (double u : {0.0, 0.01, 0.6, 1.0}) {
      const double t = u * process.t_max();
      const Point point(process, t, 0.7, -1.3);
      const Coefficients c = target_coefficients(process, t, edm);
      const double output = c.x * point.x + c.e * point.e;
      // Unit variance of target and input for data of variance sigma_data^2: what the preconditioning is for.
      EXPECT_NEAR(c.x * c.x * 0.49 + c.e * c.e, 1.0, 1e-13);
      const double variance = (point.a * point.a * 0.49 + point.s * point.s);
      EXPECT_NEAR(variance * std::pow(input_scale(process, t, edm), 2), 1.0, 1e-13);
      for (View to : views) {
        if (u == 0.0 && (to == View::score || to == View::v)) continue;
        const ViewConversion convert = conversion(process, t, edm, to);
        const double left = convert.p * output, right = convert.q * point.z;
        EXPECT_NEAR(left + right, value_of(process, t, point, to), 1e-13 * (std::abs(left) + std::abs(right)))
            << process.name() << " t = " << t << " " << name_of(to);
      }
    }
  }
}

TEST(Parameterisation, IsWrittenAndReadAsJson) {
  for (View view : views) {
    const Parameterisation plain = Parameterisation::plain(view, TimeInput::sigma);
    EXPECT_EQ(Parameterisation::from_json(plain.json()), plain) << plain.json();
  }
  const Parameterisation edm = Parameterisation::edm(1.0 / 3.0);
  EXPECT_EQ(Parameterisation::from_json(edm.json()), edm) << edm.json();
  EXPECT_THROW(Parameterisation::from_json("[]"), Error);
  EXPECT_THROW(Parameterisation::from_json(R"({"preconditioning": "edm", "time_input": "t"})"), Error);
  EXPECT_THROW(Parameterisation::from_json(R"({"preconditioning": "new", "time_input": "t"})"), Error);
  EXPECT_THROW(Parameterisation::from_json(R"({"preconditioning": "plain", "view": "y", "time_input": "t"})"), Error);
  EXPECT_THROW(Parameterisation::edm(0.0), UsageError);
}

TEST(Parameterisation, TimeInputs) {
  for (TimeInput input : {TimeInput::t1000, TimeInput::t, TimeInput::sigma, TimeInput::log_sigma_over_4})
    EXPECT_EQ(parse_time_input(name_of(input)), input);
  EXPECT_EQ(time_input(Process::linear(), 0.25, TimeInput::t1000), 250.0);
  EXPECT_EQ(time_input(Process::vp(), 0.25, TimeInput::sigma), Process::vp().sigma(0.25));
  EXPECT_NEAR(time_input(Process::linear(), 0.25, TimeInput::log_sigma_over_4), std::log(1.0 / 3.0) / 4.0, 1e-15);
  EXPECT_THROW(time_input(Process::linear(), 0.0, TimeInput::log_sigma_over_4), Error);
  EXPECT_THROW(time_input(Process::linear(), 1.0, TimeInput::log_sigma_over_4), Error);
  EXPECT_THROW(parse_time_input("seconds"), UsageError);
  EXPECT_THROW(parse_view("epsilon"), UsageError);
}

}  // namespace
}  // namespace tweedie
