#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops/loss.h"
#include "diffusion/objective.h"

namespace tweedie {
namespace {

/// Thickened shells: the network is told t, and the state is noised to a level up to `width` away from it.
class ThickShells final : public InputSource {
 public:
  ThickShells(std::shared_ptr<const DeviceImages> images, Process process, double width)
      : images_(std::move(images)), noised_(images_, process), width_(width) {}

  DrawFields provides() const override { return noised_.provides(); }
  const Process& process() const override { return noised_.process(); }
  std::string describe() const override {
    return fmt::format("shells of width {} around {}", width_, noised_.describe());
  }

  Draw draw(const DrawRequest& request) const override {
    const RandomKey key{request.seed, Purpose::noise_level, request.step};
    DrawRequest moved = request;
    for (std::size_t i = 0; i < moved.t.size(); ++i) {
      const auto sample = static_cast<std::uint32_t>(request.first + static_cast<std::int64_t>(i));
      const double shift = width_ * (2.0 * uniform(key, sample, 1) - 1.0);
      moved.t[i] = std::clamp(request.t[i] + shift, process().t_min(), process().t_max());
    }
    Draw draw = noised_.draw(moved);
    draw.t_told = request.t;  // t_state keeps the level that the state really has
    return draw;
  }

 private:
  std::shared_ptr<const DeviceImages> images_;
  NoisedData noised_;
  double width_;
};

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
