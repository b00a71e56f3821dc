#include "kernels/feature_flow/feature_flow.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/runtime/error.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

std::vector<float> normals(std::size_t count, std::uint32_t stream) {
  std::vector<float> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(normal({11}, stream, static_cast<std::uint32_t>(i)));
  return values;
}

FlowAxis gaussian(std::int64_t count, float sharpness = 2.0f) {
  return {.count = count, .from = -1.5f, .scale = static_cast<float>(count - 1) / 3.0f, .sharpness = sharpness};
}
FlowAxis fourier(std::int64_t count) {
  return {.basis = FlowAxis::Basis::fourier, .count = count, .scale = 1.0f / 3.0f};
}

const std::vector<float> keep = {0.9f, -0.5f, 0.3f};

/// 37 points: whole vectors and an odd tail; some far outside the axis.
std::vector<float> points() {
  std::vector<float> z = normals(37, 1);
  z[3] = 40.0f;
  z[4] = -35.0f;
  z[5] = -1.5f;
  z[6] = 0.1f;  // midway between two of the sixteen bumps
  return z;
}

void check_line(const FlowAxis& axis) {
  const auto count = static_cast<std::size_t>(axis.count);
  const std::vector<float> coefficients = normals(keep.size() * count, 2);
  std::vector<float> z = points(), at_once = z;
  flow_features(axis, keep, coefficients, at_once);
  for (std::size_t k = 0; k < keep.size(); ++k) {
    const std::vector<float> before = z;
    flow_features(axis, std::span(keep).subspan(k, 1), std::span(coefficients).subspan(k * count, count), z);
    for (std::size_t i = 0; i < z.size(); ++i) {
      const std::vector<double> values = axis_values(axis, before[i]);
      double x = double{keep[k]} * before[i];
      for (std::size_t a = 0; a < count; ++a) x += double{coefficients[k * count + a]} * values[a];
      // Sums of up to 20 terms of about 1 whose arguments (5 x, or 30 x of the highest frequency) are rounded.
      EXPECT_NEAR(z[i], x, 1e-5 + 1e-6 * std::abs(before[i])) << i << " from " << before[i];
    }
  }
  EXPECT_EQ(z, at_once);
}

TEST(FeatureFlow, MovesPointsOnTheLineAsInDouble) {
  check_line(gaussian(16));
  check_line(gaussian(5));
  check_line(gaussian(16, 0.5f));
  check_line(gaussian(20));
  check_line(fourier(10));
  check_line(fourier(9));
  check_line(fourier(1));
}

void check_plane(const FlowAxis& x_axis, const FlowAxis& y_axis) {
  const auto nx = static_cast<std::size_t>(x_axis.count), ny = static_cast<std::size_t>(y_axis.count);
  const std::size_t terms = 2 * nx * ny;
  const std::vector<float> coefficients = normals(keep.size() * terms, 3);
  std::vector<float> x = points(), y = normals(37, 4), x_at_once = x, y_at_once = y;
  flow_features(x_axis, y_axis, keep, coefficients, x_at_once, y_at_once);
  for (std::size_t k = 0; k < keep.size(); ++k) {
    const std::vector<float> before_x = x, before_y = y;
    const auto step = std::span(coefficients).subspan(k * terms, terms);
    flow_features(x_axis, y_axis, std::span(keep).subspan(k, 1), step, x, y);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::vector<double> f = axis_values(x_axis, before_x[i]), g = axis_values(y_axis, before_y[i]);
      double moved[2] = {double{keep[k]} * before_x[i], double{keep[k]} * before_y[i]};
      for (std::size_t o = 0; o < 2; ++o)
        for (std::size_t b = 0; b < ny; ++b)
          for (std::size_t a = 0; a < nx; ++a) moved[o] += double{step[(o * ny + b) * nx + a]} * f[a] * g[b];
      EXPECT_NEAR(x[i], moved[0], 5e-5 + 1e-6 * std::abs(before_x[i])) << i;
      EXPECT_NEAR(y[i], moved[1], 5e-5 + 1e-6 * std::abs(before_y[i])) << i;
    }
  }
  EXPECT_EQ(x, x_at_once);
  EXPECT_EQ(y, y_at_once);
}

TEST(FeatureFlow, MovesPointsInThePlaneAsInDouble) {
  check_plane(gaussian(10), gaussian(10));
  check_plane(fourier(10), fourier(7));
  check_plane(gaussian(4), fourier(5));
}

TEST(FeatureFlow, LooksUpTheNearestRightNeighbour) {
  const FlowGrid grid{.count = 4, .from = -1.0f, .spacing = 0.5f};  // -1, -0.5, 0, 0.5
  const std::vector<float> table = {10.0f, 20.0f, 30.0f, 40.0f, 1.0f, 2.0f, 3.0f, 4.0f};
  std::vector<float> z = {-7.0f, -1.0f, -0.99f, -0.5f, -0.2f, 0.0f, 0.01f, 9.0f};
  flow_table(grid, std::vector<float>{0.0f}, std::span(table).first(4), z);
  EXPECT_EQ(z, (std::vector<float>{10, 10, 20, 20, 30, 30, 40, 40}));
  z = {-0.5f};
  flow_table(grid, std::vector<float>{0.0f, 2.0f}, table, z);
  EXPECT_EQ(z[0], 2.0f * 20.0f + 4.0f);
}

TEST(FeatureFlow, TablesOfThePlaneHoldTheFeatures) {
  constexpr std::int64_t count = 19;
  const FlowGrid grid{.count = count, .from = -1.5f, .spacing = 3.0f / 18.0f};
  const FlowAxis x_axis = gaussian(4), y_axis = fourier(3);
  std::vector<float> f(4 * count), g(3 * count);
  std::vector<double> places;
  for (std::int64_t i = 0; i < count; ++i) {
    places.push_back(-1.5 + 3.0 / 18.0 * static_cast<double>(i));
    for (std::size_t a = 0; a < 4; ++a)
      f[a * count + static_cast<std::size_t>(i)] = static_cast<float>(axis_values(x_axis, places.back())[a]);
    for (std::size_t b = 0; b < 3; ++b)
      g[b * count + static_cast<std::size_t>(i)] = static_cast<float>(axis_values(y_axis, places.back())[b]);
  }
  const std::vector<float> coefficients = normals(24, 5);
  std::vector<float> table(2 * count * count);
  fill_flow_table(f, g, coefficients, count, table);
  // A point on a grid point is moved by the table as by the features themselves.
  std::vector<float> x, y;
  for (std::size_t i = 0; i < count; ++i) {
    x.push_back(static_cast<float>(places[i]) - 1e-4f);
    y.push_back(static_cast<float>(places[count - 1 - i]) - 1e-4f);
  }
  std::vector<float> by_table_x = x, by_table_y = y, by_features_x = x, by_features_y = y;
  flow_table_step(grid, 0.5f, table, by_table_x, by_table_y);
  flow_features(x_axis, y_axis, std::vector<float>{0.5f}, coefficients, by_features_x, by_features_y);
  for (std::size_t i = 0; i < count; ++i) {
    EXPECT_NEAR(by_table_x[i], by_features_x[i], 2e-3);  // 1e-4 beside the grid point
    EXPECT_NEAR(by_table_y[i], by_features_y[i], 2e-3);
  }
}

TEST(FeatureFlow, FollowsTheExactDenoiserOfPoints) {
  const std::vector<float> data = {-1.0f, 0.0f, 1.0f};
  const std::vector<PointStep> steps = {{0.9f, 0.2f, 0.5f, 0.7f}, {0.2f, 0.8f, 0.98f, 15.0f}, {0.1f, 0.9f, 1.0f, 5e5f}};
  const std::vector<float> start = points();
  std::vector<float> z = start;
  flow_points(data, steps, z);
  for (std::size_t i = 0; i < z.size(); ++i) {
    double x = start[i];
    for (const PointStep& step : steps) {
      double nearest = INFINITY, total = 0.0, moment = 0.0;
      for (const float point : data) nearest = std::min(nearest, std::abs(x - double{step.alpha} * point));
      for (const float point : data) {
        const double distance = x - double{step.alpha} * point;
        const double weight = std::exp(-double{step.precision} * (distance * distance - nearest * nearest));
        total += weight;
        moment += weight * point;
      }
      x = double{step.keep} * x + double{step.pull} * moment / total;
    }
    EXPECT_NEAR(z[i], x, 1e-4 * (1.0 + std::abs(start[i]))) << i << " from " << start[i];
  }
}

TEST(FeatureFlow, RefusesSizesThatDoNotFit) {
  std::vector<float> z(3), other(2);
  EXPECT_THROW(flow_features(gaussian(0), keep, {}, z), Error);
  EXPECT_THROW(flow_features(gaussian(33), keep, std::vector<float>(99), z), Error);
  EXPECT_THROW(flow_features(gaussian(4), keep, std::vector<float>(11), z), Error);
  EXPECT_THROW(flow_features(gaussian(2), gaussian(2), keep, std::vector<float>(24), z, other), Error);
  EXPECT_THROW(flow_table({.count = 4}, keep, std::vector<float>(11), z), Error);
  EXPECT_THROW(flow_table_step({.count = 2}, 1.0f, std::vector<float>(7), z, z), Error);
  EXPECT_THROW(flow_points({}, {}, z), Error);
}

}  // namespace
}  // namespace tweedie
