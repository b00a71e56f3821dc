#include <gtest/gtest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "diffusion/empirical_score.h"
#include "diffusion/objective.h"
#include "diffusion/statistics.h"

namespace tweedie {
namespace {

constexpr Device cpu{DeviceKind::cpu, 0};

// J1 = J0 + E lambda tr C (Vincent 2011; Vastola 2025): the denoising loss of any function is its squared error against
// the empirical score plus the variance of the noisy target, which no function removes. Here the function is a fixed
// affine denoiser, the data 200 points of R^16, lambda = sigma^2 / d: all in noise units per dimension.
TEST(DsmIdentity, LossIsErrorPlusTraceOfTheTargetsCovariance) {
  constexpr std::int64_t count = 200, d = 16, draws = 20000;
  std::vector<float> values(static_cast<std::size_t>(count * d));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = 0.3f * normal({.seed = 8, .purpose = Purpose::synthetic_data}, static_cast<std::uint32_t>(i));
  const data::ImageSet set = data::make_image_set("points", data::Split::train, {count, 1, 1, d}, values);
  const EmpiricalScore empirical(set);
  auto images = std::make_shared<DeviceImages>();
  images->pixels = Tensor::from_host(set.floats(), {count, d}, cpu);
  images->height = images->width = 1;
  images->channels = d;
  const Process process = Process::linear();
  const NoisedData source(images, process);

  DrawRequest request{.seed = 2, .step = 0};
  request.fields = DrawFields::clean | DrawFields::noise;
  const auto levels = parse_noise_levels("uniform", process);
  for (std::int64_t i = 0; i < draws; ++i)
    request.t.push_back(0.1 + 0.8 * uniform({.seed = 3}, static_cast<std::uint32_t>(i)));
  const Draw draw = source.draw(request);
  const auto z = draw.z.to_host(), e = draw.noise.to_host();
  std::vector<float> alpha, sigma;
  for (const double t : request.t) {
    alpha.push_back(static_cast<float>(process.alpha(t)));
    sigma.push_back(static_cast<float>(process.sigma(t)));
  }
  const EmpiricalResult exact = empirical.evaluate(z, alpha, sigma);

  std::vector<double> difference, loss;
  for (std::size_t i = 0; i < static_cast<std::size_t>(draws); ++i) {
    const double s = process.sigma(request.t[i]);
    double dsm = 0.0, error = 0.0;
    for (std::size_t j = i * d; j < (i + 1) * d; ++j) {
      const double guess = 0.4 * z[j] + 0.1;  // of the noise: any fixed function
      dsm += std::pow(guess - e[j], 2) / d;
      error += std::pow(guess + s * static_cast<double>(exact.score[j]), 2) / d;  // eps* = -sigma s*
    }
    loss.push_back(dsm);
    difference.push_back(dsm - error - s * s * exact.trace_cov[i] / d);
  }
  EXPECT_LT(std::abs(mean(difference)), 4.0 * standard_error(difference));
  EXPECT_LT(4.0 * standard_error(difference), 0.01 * mean(loss));
  // The test can fail: without the trace the sides differ by far more than their error.
  double trace = 0.0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(draws); ++i)
    trace += std::pow(process.sigma(request.t[i]), 2) * exact.trace_cov[i] / d / static_cast<double>(draws);
  EXPECT_GT(trace, 40.0 * standard_error(difference));
}

}  // namespace
}  // namespace tweedie
