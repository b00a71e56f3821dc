#include "diffusion/time_grid.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/runtime/error.h"

namespace tweedie {
namespace {

TEST(TimeGrid, FallsFromStartToEnd) {
  for (const Process& process :
       {Process::linear(), Process::edm(), Process::vp(), Process::vp_song(), Process::cosine()}) {
    for (TimeGrid grid : {TimeGrid::uniform, TimeGrid::log_snr, TimeGrid::edm}) {
      const double start = 0.99 * process.t_max(), end = process.t_min();
      const std::vector<double> times = time_grid(process, grid, 13, start, end);
      ASSERT_EQ(times.size(), 14U);
      EXPECT_EQ(times.front(), start);
      EXPECT_EQ(times.back(), end);
      for (std::size_t i = 1; i < times.size(); ++i) EXPECT_LT(times[i], times[i - 1]) << process.name();
      EXPECT_EQ(parse_time_grid(name_of(grid)), grid);
    }
  }
}

TEST(TimeGrid, EdmIsEquationFive) {
  const std::vector<double> times = time_grid(Process::edm(), TimeGrid::edm, 17, 80.0, 0.002);
  for (int i = 0; i <= 17; ++i) {
    const double a = std::pow(80.0, 1.0 / 7), b = std::pow(0.002, 1.0 / 7);
    EXPECT_NEAR(times[i] / std::pow(a + i / 17.0 * (b - a), 7), 1.0, 1e-12);
  }
}

TEST(TimeGrid, LogSnrStepsAreEqual) {
  for (const Process& process : {Process::linear(), Process::vp(), Process::cosine()}) {
    const std::vector<double> times = time_grid(process, TimeGrid::log_snr, 8, 0.9, 0.01);
    const double step = process.log_snr(times[1]) - process.log_snr(times[0]);
    for (std::size_t i = 1; i < times.size(); ++i)
      EXPECT_NEAR(process.log_snr(times[i]) - process.log_snr(times[i - 1]), step, 1e-10);
  }
}

TEST(TimeGrid, BadInput) {
  const Process linear = Process::linear();
  EXPECT_THROW(time_grid(linear, TimeGrid::uniform, 0, 1.0, 0.0), Error);
  EXPECT_THROW(time_grid(linear, TimeGrid::uniform, 5, 0.1, 0.1), Error);
  EXPECT_THROW(time_grid(linear, TimeGrid::log_snr, 5, 1.0, 0.1), Error);
  EXPECT_THROW(time_grid(linear, TimeGrid::edm, 5, 1.0, 0.1), Error);
  EXPECT_THROW(time_grid(linear, TimeGrid::log_snr, 5, 0.9, 0.0), Error);
  EXPECT_NO_THROW(time_grid(linear, TimeGrid::edm, 5, 0.9, 0.0));  // sigma/alpha = 0 is a level like others
  EXPECT_THROW(parse_time_grid("rho"), UsageError);
}

}  // namespace
}  // namespace tweedie
