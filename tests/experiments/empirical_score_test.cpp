#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "nn/io/npz.h"
#include "tests/experiments/run_binary.h"
#include "tests/experiments/temporary_folder.h"

namespace tweedie::experiments {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// Two colour images of 1 x 2 pixels and two points, in files.
class EmpiricalScoreProgram : public testing::Test {
 protected:
  EmpiricalScoreProgram() {
    write("x.npy", data_, {2, 3, 1, 2});
    write("z.npy", points_, {2, 3, 1, 2});
    write("a.npy", std::vector<float>{1.0F, 0.5F}, {2});
    write("s.npy", std::vector<float>{0.5F, 2.0F}, {2});
  }
  fs::path file(const std::string& name) const { return folder_.path() / name; }
  template <class T>
  void write(const std::string& name, const std::vector<T>& values, const Shape& shape) const {
    io::write_npy(file(name), values, shape);
  }
  Outcome run(const std::string& data, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"--data",      data,      "--points",    file("z.npy"), "--alpha",
                                          file("a.npy"), "--sigma", file("s.npy"), "--out",       file("o.npz")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_binary("empirical_score", arguments);
  }
  void expect_failure(const Outcome& outcome, int status, const std::string& part) const {
    EXPECT_EQ(outcome.status, status) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(part));
    EXPECT_FALSE(fs::exists(file("o.npz")));
  }

  TemporaryFolder folder_;
  std::vector<float> data_ = {0.0F, 1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 1.0F, 1.0F, 2.0F, 2.0F, 5.0F, 5.0F};
  std::vector<float> points_ = {0.5F, 1.0F, 2.0F, 2.5F, 4.0F, 5.0F, 0.0F, 0.0F, 3.0F, 1.0F, 2.0F, 2.0F};
};

TEST_F(EmpiricalScoreProgram, WritesTheClosedForm) {
  const Outcome outcome = run(file("x.npy"));
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  const auto written = io::read_npz(file("o.npz"));
  ASSERT_EQ(written.size(), 7U);
  EXPECT_EQ(written.at("x0").shape, Shape({2, 3, 1, 2}));
  EXPECT_EQ(written.at("score").shape, Shape({2, 3, 1, 2}));
  const double alphas[] = {1.0, 0.5}, sigmas[] = {0.5, 2.0};
  for (std::size_t n = 0; n < 2; ++n) {
    const double a = alphas[n], s = sigmas[n];
    double squares[2] = {};
    for (std::size_t i = 0; i < 2; ++i)
      for (std::size_t j = 0; j < 6; ++j)
        squares[i] += std::pow(double{points_[n * 6 + j]} - a * double{data_[i * 6 + j]}, 2);
    const double first = 1.0 / (1.0 + std::exp((squares[0] - squares[1]) / (2.0 * s * s)));
    double spread = 0.0;
    for (std::size_t j = 0; j < 6; ++j) {
      const double difference = double{data_[j]} - double{data_[6 + j]};
      spread += difference * difference;
      const double x0 = double{data_[6 + j]} + first * difference;
      EXPECT_NEAR(written.at("x0").as<float>()[n * 6 + j], x0, 1e-6);
      EXPECT_NEAR(written.at("score").as<float>()[n * 6 + j], (a * x0 - double{points_[n * 6 + j]}) / (s * s), 1e-5);
    }
    const double entropy = -first * std::log(first) - (1.0 - first) * std::log(1.0 - first);
    EXPECT_NEAR(written.at("entropy").as<double>()[n], entropy, 1e-12);
    EXPECT_NEAR(written.at("effective_count").as<double>()[n], std::exp(entropy), 1e-12);
    EXPECT_NEAR(written.at("trace_cov").as<double>()[n], a * a / std::pow(s, 4.0) * first * (1.0 - first) * spread,
                1e-12);
    EXPECT_EQ(written.at("nearest").as<std::int64_t>()[n], squares[0] <= squares[1] ? 0 : 1);
    const double r[2] = {std::sqrt(squares[0] / 6.0) / s, std::sqrt(squares[1] / 6.0) / s};
    EXPECT_NEAR(written.at("r_star").as<double>()[n], std::abs(r[0] - 1.0) <= std::abs(r[1] - 1.0) ? r[0] : r[1],
                1e-12);
  }
}

TEST_F(EmpiricalScoreProgram, BytesBatchesAndLeavingOut) {
  write("x.npy", std::vector<std::uint8_t>{0, 255, 255, 0, 255, 255}, {3, 2});
  write("z.npy", std::vector<float>{-1.0F, 1.0F, 1.0F, 1.0F}, {2, 2});
  write("s.npy", std::vector<float>{1e-3F, 1e-3F}, {2});
  write("a.npy", std::vector<float>{1.0F, 1.0F}, {2});
  write("e.npy", std::vector<std::int64_t>{-1, 2}, {2});
  ASSERT_EQ(run(file("x.npy"), {"--batch", "1", "--excluded", file("e.npy")}).status, 0);
  const auto written = io::read_npz(file("o.npz"));
  EXPECT_EQ(written.at("nearest").as<std::int64_t>()[0], 0);
  EXPECT_EQ(written.at("nearest").as<std::int64_t>()[1], 0);
  EXPECT_EQ(written.at("x0").as<float>()[0], -1.0F);
  EXPECT_EQ(written.at("x0").as<float>()[1], 1.0F);
  EXPECT_EQ(written.at("score").as<float>()[0], 0.0F);
  ASSERT_EQ(run(file("x.npy")).status, 0);  // the result is replaced
  EXPECT_EQ(io::read_npz(file("o.npz")).at("nearest").as<std::int64_t>()[1], 2);
}

TEST_F(EmpiricalScoreProgram, RefusesBadInputAndWritesNothing) {
  write("s.npy", std::vector<float>{0.5F, 0.0F}, {2});
  expect_failure(run(file("x.npy")), 1, "sigma of point 1 is 0, expected a finite value above 0");
  write("s.npy", std::vector<float>{-1.0F, 1.0F}, {2});
  expect_failure(run(file("x.npy")), 1, "sigma of point 0 is -1");
  write("s.npy", std::vector<float>{0.5F, NAN}, {2});
  expect_failure(run(file("x.npy")), 1, "sigma of point 1 is nan");
  write("s.npy", std::vector<float>{0.5F}, {1});
  expect_failure(run(file("x.npy")), 1, "expected float32 of shape (2)");
  write("s.npy", std::vector<double>{0.5, 0.5}, {2});
  expect_failure(run(file("x.npy")), 1, "float64 of shape (2), expected float32 of shape (2)");
  write("s.npy", std::vector<float>{0.5F, 0.5F}, {2});
  write("a.npy", std::vector<float>{0.5F, -0.1F}, {2});
  expect_failure(run(file("x.npy")), 1, "alpha of point 1 is -0.1, expected a finite value of at least 0");
  write("a.npy", std::vector<float>{0.5F, 0.5F}, {2});
  points_[7] = NAN;
  write("z.npy", points_, {2, 3, 1, 2});
  expect_failure(run(file("x.npy")), 1, "point 1 holds a value that is not finite");
  write("z.npy", std::vector<float>(10), {2, 5});
  expect_failure(run(file("x.npy")), 1, "with 6 numbers a point");
  write("z.npy", std::vector<float>(12), {2, 6});
  data_[3] = INFINITY;
  write("bad.npy", data_, {2, 3, 1, 2});
  expect_failure(run(file("bad.npy")), 1, "image 0 holds inf");
  expect_failure(run(file("missing.npy")), 1, "missing.npy");
  expect_failure(run("no-such-data"), 2, "no-such-data");
  expect_failure(run(file("x.npy"), {"--labels", file("a.npy")}), 1, "expected int64 of shape (2)");
  write("l.npy", std::vector<std::int64_t>{0, 0}, {2});
  expect_failure(run(file("x.npy"), {"--labels", file("l.npy")}), 2, "have no labels");
  expect_failure(run(file("x.npy"), {"--sigmas", "1"}), 2, "--sigmas");
  expect_failure(run(file("x.npy"), {"--device", "cuda"}), 2,
                 "use --device cpu");  // the build has no CUDA backend, or no device answers
  Outcome outcome = run_binary("empirical_score", {"--data", file("x.npy"), "--points", file("z.npy"), "--alpha",
                                                   file("a.npy"), "--sigma", file("s.npy")});
  expect_failure(outcome, 2, "--out");
  outcome = run_binary("empirical_score", {"--data", file("x.npy"), "--points", file("z.npy"), "--alpha", file("a.npy"),
                                           "--sigma", file("s.npy"), "--out", file("none") / "o.npz"});
  expect_failure(outcome, 1, "none");
}

}  // namespace
}  // namespace tweedie::experiments
