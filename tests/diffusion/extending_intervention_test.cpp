#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "diffusion/objective.h"
#include "diffusion/thick_shells.h"

namespace tweedie {
namespace {

TEST(Extending, AnInterventionIsOneClass) {
  const Device cpu{DeviceKind::cpu, 0};
  const std::vector<std::uint8_t> pixels(6 * 16, 200);
  auto images = std::make_shared<DeviceImages>();
  images->pixels = Tensor::from_host(std::span<const std::uint8_t>(pixels), {6, 16}, cpu);
  images->height = images->width = 4;
  images->channels = 1;
  const Process process = Process::linear();
  const Objective objective(std::make_shared<ThickShells>(images, process, 0.1), std::make_shared<ConditionalTarget>(),
                            parse_weighting("raw"), parse_noise_levels("uniform", process));
  const auto batch = objective.batch(1, 0, 0, 64, Parameterisation::plain(View::v));
  double moved = 0.0;
  for (std::size_t i = 0; i < 64; ++i) {
    const double shift = std::abs(batch.draw.t_state[i] - batch.draw.t_told[i]);
    EXPECT_LE(shift, 0.1 + 1e-12);
    moved = std::max(moved, shift);
  }
  EXPECT_GT(moved, 0.05);
  EXPECT_EQ(batch.target.shape(), batch.draw.z.shape());
}

}  // namespace
}  // namespace tweedie
