#include "kernels/empirical_score/empirical_score.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

using Indices = std::vector<std::int64_t>;

/// What one evaluation is given; the data are bytes or floats, whichever is not empty.
struct Problem {
  std::int64_t rows = 0, dimension = 0;
  std::vector<std::uint8_t> bytes;
  std::vector<float> floats;
  std::vector<float> points, alpha, sigma;
  Indices labels, point_labels, excluded;
  ImageExtents mirrored;
  std::int64_t neighbours = 1;

  std::int64_t batch() const { return static_cast<std::int64_t>(alpha.size()); }
  double value(std::int64_t row, std::int64_t j) const {
    const std::size_t at = static_cast<std::size_t>(row * dimension + j);
    return bytes.empty() ? static_cast<double>(floats[at]) : bytes[at] / 127.5 - 1.0;
  }
  void add_point(const std::vector<double>& z, double a, double s) {
    for (double entry : z) points.push_back(static_cast<float>(entry));
    alpha.push_back(static_cast<float>(a));
    sigma.push_back(static_cast<float>(s));
  }
};

struct Result {
  std::vector<double> x0, score, distances, entropy, effective_count, covariance_trace, r_star, log_sum;
  Indices neighbours, r_star_index;
};

template <class T>
Array array_of(std::vector<T>& values, const Shape& shape) {
  return values.empty() ? Array{} : Array{values.data(), shape, dtype_of<T>()};
}

Result evaluate(Problem problem, DeviceKind kind) {
  Stream& stream = default_stream({kind, 0});
  const std::int64_t n = problem.rows, d = problem.dimension, batch = problem.batch(), k = problem.neighbours;
  std::vector<double> centre(static_cast<std::size_t>(d)), norms(static_cast<std::size_t>(n));
  const Array data = problem.bytes.empty() ? array_of(problem.floats, {n, d}) : array_of(problem.bytes, {n, d});
  prepare_empirical_data(stream, {data, array_of(centre, {d}), array_of(norms, {n}), problem.mirrored});
  Result result;
  const auto real = [&](std::vector<double>& values, const Shape& shape) {
    values.assign(static_cast<std::size_t>(shape.count()), std::numeric_limits<double>::quiet_NaN());
    return array_of(values, shape);
  };
  const auto integer = [&](Indices& values, const Shape& shape) {
    values.assign(static_cast<std::size_t>(shape.count()), -77);
    return array_of(values, shape);
  };
  EvaluateEmpiricalScore arguments{
      .data = data,
      .centre = array_of(centre, {d}),
      .squared_norms = array_of(norms, {n}),
      .labels = array_of(problem.labels, {n}),
      .points = array_of(problem.points, {batch, d}),
      .alpha = array_of(problem.alpha, {batch}),
      .sigma = Array{problem.sigma.data(), {static_cast<std::int64_t>(problem.sigma.size())}, DType::float32},
      .point_labels = array_of(problem.point_labels, {batch}),
      .excluded = array_of(problem.excluded, {batch}),
      .x0 = real(result.x0, {batch, d}),
      .score = real(result.score, {batch, d}),
      .neighbours = integer(result.neighbours, {batch, k}),
      .neighbour_distances = real(result.distances, {batch, k}),
      .entropy = real(result.entropy, {batch}),
      .effective_count = real(result.effective_count, {batch}),
      .covariance_trace = real(result.covariance_trace, {batch}),
      .r_star = real(result.r_star, {batch}),
      .r_star_index = integer(result.r_star_index, {batch}),
      .log_sum = real(result.log_sum, {batch}),
      .mirrored = problem.mirrored};
  evaluate_empirical_score(stream, arguments);
  return result;
}

double distance(const std::vector<double>& a, const std::vector<double>& b, std::int64_t row, std::int64_t dimension) {
  double sum = 0.0;
  for (std::int64_t j = row * dimension; j < (row + 1) * dimension; ++j) sum += (a[j] - b[j]) * (a[j] - b[j]);
  return std::sqrt(sum);
}

double norm(const std::vector<double>& a, std::int64_t row, std::int64_t dimension) {
  return distance(a, std::vector<double>(a.size()), row, dimension);
}

/// The tolerances that the contract promises, a point at a time.
void expect_agreement(const Problem& problem, const std::string& what) {
  const Result got = evaluate(problem, DeviceKind::cpu), expected = evaluate(problem, DeviceKind::reference);
  EXPECT_EQ(got.neighbours, expected.neighbours) << what;
  EXPECT_EQ(got.r_star_index, expected.r_star_index) << what;
  for (std::int64_t b = 0; b < problem.batch(); ++b) {
    const double sigma = problem.sigma[b];
    const auto where = fmt::format("{}: point {}, alpha {}, sigma {}", what, b, problem.alpha[b], sigma);
    EXPECT_LE(distance(got.x0, expected.x0, b, problem.dimension), 1e-5 * norm(expected.x0, b, problem.dimension))
        << where;
    // Where alpha x0 and z nearly cancel, the reference's own sums of large x leave rounding errors.
    const double rounding = 1e-14 * norm(expected.x0, b, problem.dimension) / (sigma * sigma);
    const double score_error = distance(got.score, expected.score, b, problem.dimension);
    EXPECT_LE(score_error, 2e-5 * norm(expected.score, b, problem.dimension) + rounding) << where;
    for (std::int64_t k = b * problem.neighbours; k < (b + 1) * problem.neighbours; ++k)
      if (std::isfinite(expected.distances[k])) {
        EXPECT_NEAR(got.distances[k], expected.distances[k], 1e-6 * std::max(1.0, expected.distances[k])) << where;
      } else {
        EXPECT_EQ(got.distances[k], expected.distances[k]) << where;
      }
    EXPECT_NEAR(got.entropy[b], expected.entropy[b], 1e-4) << where;
    EXPECT_NEAR(got.effective_count[b], expected.effective_count[b], 1e-4 * expected.effective_count[b]) << where;
    EXPECT_NEAR(got.covariance_trace[b], expected.covariance_trace[b],
                std::max(1e-3 * expected.covariance_trace[b], 1e-9 / (sigma * sigma)))
        << where;
    EXPECT_NEAR(got.r_star[b], expected.r_star[b], 1e-5 * std::max(1.0, expected.r_star[b])) << where;
    EXPECT_NEAR(got.log_sum[b], expected.log_sum[b], 1e-5 + 1e-7 * std::abs(expected.log_sum[b])) << where;
  }
}

double gaussian(std::uint32_t stream, std::int64_t position) {
  return static_cast<double>(normal({.seed = 11}, stream, static_cast<std::uint32_t>(position)));
}

Problem byte_images(std::int64_t rows, std::int64_t dimension) {
  Problem problem{.rows = rows, .dimension = dimension};
  for (std::int64_t i = 0; i < rows * dimension; ++i)
    problem.bytes.push_back(
        static_cast<std::uint8_t>(uniform_integer({.seed = 3}, 1, 256, static_cast<std::uint32_t>(i))));
  return problem;
}

Problem float_points(std::int64_t rows, std::int64_t dimension, double offset, double spread) {
  Problem problem{.rows = rows, .dimension = dimension};
  for (std::int64_t i = 0; i < rows * dimension; ++i)
    problem.floats.push_back(static_cast<float>(offset + spread * gaussian(2, i)));
  return problem;
}

std::vector<double> noised(const Problem& problem, std::int64_t row, double alpha, double sigma, std::uint32_t stream) {
  std::vector<double> z;
  for (std::int64_t j = 0; j < problem.dimension; ++j)
    z.push_back(alpha * problem.value(row, j) + sigma * gaussian(stream, j));
  return z;
}

/// Noised data, pure noise, a datum itself and the mid-point of two, each at every sigma.
void add_points(Problem& problem, double unit) {
  std::uint32_t stream = 100;
  for (const double sigma : {1e-3, 0.03, 0.3, 1.0, 3.0, 100.0})
    for (const double alpha : {1.0, 0.3}) {
      const double s = sigma * unit;
      problem.add_point(noised(problem, stream % problem.rows, alpha, s, stream), alpha, s);
      problem.add_point(noised(problem, 0, 0.0, std::max(s, unit), stream + 1), alpha, s);
      problem.add_point(noised(problem, (stream + 5) % problem.rows, alpha, 0.0, stream), alpha, s);
      std::vector<double> middle = noised(problem, 0, 0.5 * alpha, 0.0, 0);
      for (std::int64_t j = 0; j < problem.dimension; ++j)
        middle[j] += 0.5 * alpha * problem.value(problem.rows / 2, j);
      problem.add_point(middle, alpha, s);
      stream += 2;
    }
}

TEST(EmpiricalScore, AgreesOnByteImages) {
  for (const auto& [rows, dimension] : {std::pair{1, 1}, {2, 3}, {65, 16}, {300, 31}, {2100, 17}, {4097, 64}}) {
    Problem problem = byte_images(rows, dimension);
    add_points(problem, 1.0);
    expect_agreement(problem, fmt::format("{} images of {} bytes", rows, dimension));
  }
}

TEST(EmpiricalScore, AgreesOnByteImagesWithoutByteProducts) {
  hwy::SetSupportedTargetsForTest(hwy::SupportedTargets() & ~HWY_AVX3_DL);
  Problem problem = byte_images(2100, 100);
  add_points(problem, 1.0);
  expect_agreement(problem, "products in float32");
  hwy::SetSupportedTargetsForTest(0);
}

// Many weights of 1e-8 of the heaviest must neither vanish in their sum beside it nor be rounded away one by one.
TEST(EmpiricalScore, ManyLightDuplicatesKeepTheirWeight) {
  Problem problem{.rows = 6000, .dimension = 4, .bytes = std::vector<std::uint8_t>(24000, 0)};
  for (std::int64_t i = 0; i < 6000; ++i)
    for (std::int64_t j = 0; j < 4; ++j)
      problem.bytes[static_cast<std::size_t>(4 * i + j)] =
          i % 100 == 0 ? static_cast<std::uint8_t>(120 + (7 * i / 100 + 3 * j) % 20) : 250;
  for (const double sigma : {0.445, 0.45, 0.455, 0.46, 0.465}) problem.add_point({-0.5, -0.5, -0.5, -0.5}, 1.0, sigma);
  expect_agreement(problem, "light duplicates");
}

TEST(EmpiricalScore, AgreesOnFloatsOfAnyOffsetAndScale) {
  for (const auto& [offset, spread] : {std::pair{0.0, 1.0}, {100.0, 1e-2}, {-3e4, 1.0}, {0.0, 1e-12}, {0.0, 1e12}})
    for (const std::int64_t dimension : {2, 33}) {
      Problem problem = float_points(2500, dimension, offset, spread);
      add_points(problem, spread);
      expect_agreement(problem, fmt::format("offset {}, spread {}, {} columns", offset, spread, dimension));
    }
}

TEST(EmpiricalScore, AgreesFarAway) {
  Problem problem = byte_images(500, 20);
  for (const double far : {1e2, 1e4, 1e6})
    for (const double sigma : {0.5, 10.0}) problem.add_point(noised(problem, 3, 1.0, far, 8), 1.0, sigma);
  expect_agreement(problem, "far away");
}

TEST(EmpiricalScore, OneDatumIsItsOwnPosterior) {
  Problem problem = byte_images(1, 9);
  problem.neighbours = 3;
  for (const double sigma : {1e-3, 1.0, 100.0}) problem.add_point(noised(problem, 0, 0.7, sigma, 4), 0.7, sigma);
  expect_agreement(problem, "one datum");
  const Result result = evaluate(problem, DeviceKind::cpu);
  EXPECT_EQ(result.neighbours, (Indices{0, -1, -1, 0, -1, -1, 0, -1, -1}));
  for (const double trace : result.covariance_trace) EXPECT_EQ(trace, 0.0);
  for (const double entropy : result.entropy) EXPECT_EQ(entropy, 0.0);
}

TEST(EmpiricalScore, TiesGoToTheLowestIndex) {
  Problem problem{.rows = 4, .dimension = 1, .floats = {1.0f, -1.0f, 1.0f, -1.0f}, .neighbours = 4};
  problem.add_point({0.0}, 1.0, 0.5);
  problem.add_point({0.5}, 1.0, 0.5);
  expect_agreement(problem, "four points on a line");
  const Result result = evaluate(problem, DeviceKind::cpu);
  EXPECT_EQ(result.neighbours, (Indices{0, 1, 2, 3, 0, 2, 1, 3}));
  EXPECT_EQ(result.score[0], 0.0);
  EXPECT_NEAR(result.effective_count[0], 4.0, 1e-12);
}

TEST(EmpiricalScore, DuplicatesShareTheirWeight) {
  Problem few = byte_images(40, 30);
  for (const int copies : {2, 70}) {
    Problem problem{.rows = 40 * copies, .dimension = 30, .neighbours = 5};
    for (int copy = 0; copy < copies; ++copy)
      problem.bytes.insert(problem.bytes.end(), few.bytes.begin(), few.bytes.end());
    add_points(problem, 1.0);
    expect_agreement(problem, fmt::format("{} copies", copies));
  }
  Problem same{.rows = 5000, .dimension = 3, .bytes = std::vector<std::uint8_t>(15000, 200)};
  add_points(same, 1.0);
  expect_agreement(same, "one image 5000 times");
  EXPECT_NEAR(evaluate(same, DeviceKind::cpu).entropy[0], std::log(5000.0), 1e-9);
}

TEST(EmpiricalScore, AlphaOfZeroGivesTheMean) {
  Problem problem = byte_images(3000, 12);
  problem.neighbours = 3;
  for (const double sigma : {1e-3, 1.0, 50.0}) problem.add_point(noised(problem, 0, 0.0, 1.0, 5), 0.0, sigma);
  problem.excluded = {-1, 0, 2};
  expect_agreement(problem, "alpha 0");
  const Result result = evaluate(problem, DeviceKind::cpu);
  EXPECT_EQ(result.neighbours, (Indices{0, 1, 2, 1, 2, 3, 0, 1, 3}));
}

TEST(EmpiricalScore, ClassesExclusionsAndMirrorImages) {
  for (const bool mirror : {false, true})
    for (const std::int64_t rows : {50, 3000}) {
      Problem problem = byte_images(rows, 24);
      problem.neighbours = 3;
      if (mirror) problem.mirrored = {.height = 2, .width = 4, .channels = 3};
      for (std::int64_t i = 0; i < rows; ++i) problem.labels.push_back(i * i % 7);
      add_points(problem, 1.0);
      for (std::int64_t b = 0; b < problem.batch(); ++b) {
        problem.point_labels.push_back(std::vector<std::int64_t>{-1, 0, 1, 2, 4}[static_cast<std::size_t>(b % 5)]);
        problem.excluded.push_back(b % 3 == 0 ? -1 : b % rows);
      }
      expect_agreement(problem, fmt::format("{} rows, mirrored {}", rows, mirror));
    }
}

TEST(EmpiricalScore, LeaveOneOutFindsTheOthers) {
  Problem problem = byte_images(200, 10);
  for (std::int64_t i = 0; i < 200; ++i) {
    problem.add_point(noised(problem, i, 1.0, 0.0, 0), 1.0, 0.01);
    problem.excluded.push_back(i);
  }
  const Result result = evaluate(problem, DeviceKind::cpu);
  for (std::int64_t i = 0; i < 200; ++i) EXPECT_NE(result.neighbours[i], i);
  problem.excluded.clear();
  const Result whole = evaluate(problem, DeviceKind::cpu);
  for (std::int64_t i = 0; i < 200; ++i) EXPECT_EQ(whole.neighbours[i], i);
}

TEST(EmpiricalScore, RowsDoNotDependOnTheBatch) {
  Problem all = byte_images(2500, 40);
  add_points(all, 1.0);
  const Result together = evaluate(all, DeviceKind::cpu);
  for (const std::int64_t b : {0, 9, 30}) {
    Problem one = all;
    one.points.assign(all.points.begin() + b * 40, all.points.begin() + (b + 1) * 40);
    one.alpha = {all.alpha[b]};
    one.sigma = {all.sigma[b]};
    const Result alone = evaluate(one, DeviceKind::cpu);
    EXPECT_NEAR(alone.entropy[0], together.entropy[b], 1e-5);
    EXPECT_EQ(alone.neighbours[0], together.neighbours[b]);
  }
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(EmpiricalScore, RefusesWhatItCannotEvaluate) {
  Problem good = byte_images(5, 3);
  good.add_point({0.0, 0.0, 0.0}, 1.0, 1.0);
  const auto expect_message = [&](const std::function<void(Problem&)>& spoil, const std::string& part) {
    Problem bad = good;
    spoil(bad);
    const std::string message = message_of([&] { evaluate(bad, DeviceKind::cpu); });
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect_message([](Problem& p) { p.sigma[0] = 0.0f; }, "sigma of point 0 is 0");
  expect_message([](Problem& p) { p.sigma[0] = std::nanf(""); }, "sigma of point 0 is nan");
  expect_message([](Problem& p) { p.alpha[0] = -0.5f; }, "alpha of point 0 is -0.5");
  expect_message([](Problem& p) { p.points[1] = INFINITY; }, "point 0 holds a value that is not finite");
  expect_message([](Problem& p) { p.excluded = {5}; }, "excluded row of point 0 is 5");
  expect_message([](Problem& p) { p.points.resize(6), p.alpha.push_back(1.0f); }, "sigma has shape (1), expected (2)");
  expect_message([](Problem& p) { p.labels = {1, 1, 1, 1, 1}, p.point_labels = {2}; }, "no data left");
  expect_message([](Problem& p) { p.point_labels = {2}; }, "labels and point_labels go together");
  expect_message([](Problem& p) { p.mirrored = {2, 2, 1}; }, "do not make rows of 3");
  expect_message([](Problem& p) { p.bytes.clear(), p.floats.assign(15, NAN); }, "not finite");
}

}  // namespace
}  // namespace tweedie
