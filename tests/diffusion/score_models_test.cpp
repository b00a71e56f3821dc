#include <gtest/gtest.h>

#include <cmath>

#include "diffusion/empirical_score_model.h"
#include "diffusion/gaussian_mixture.h"
#include "diffusion/gaussian_score.h"
#include "diffusion/hybrid_score.h"
#include "diffusion/kernel_ridge_score.h"
#include "diffusion/patch_score.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

constexpr std::int64_t count = 30, side = 4, d = side * side;

data::ImageSet images(std::int64_t channels = 1) {
  std::vector<float> pixels;
  for (std::uint32_t i = 0; i < count; ++i)
    for (std::uint32_t k = 0; k < d * channels; ++k) pixels.push_back(0.6F * normal({.seed = 8}, i, k));
  return data::make_image_set("test", data::Split::train, {count, side, side, channels}, pixels);
}

Tensor states(const Process& process, const std::vector<double>& t, std::int64_t channels = 1) {
  const std::vector<float> pixels = images(channels).to_float();
  std::vector<double> z;
  for (std::size_t n = 0; n < t.size(); ++n)
    for (std::size_t k = 0; k < static_cast<std::size_t>(d * channels); ++k)
      z.push_back(process.alpha(t[n]) * pixels[n * static_cast<std::size_t>(d * channels) + k] +
                  process.sigma(t[n]) *
                      normal({.seed = 9}, static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(k)));
  return Tensor::from_host(std::span<const double>(z), {static_cast<std::int64_t>(t.size()), side, side, channels}, {});
}

double largest_difference(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = a.to_host_double(), y = b.to_host_double();
  EXPECT_EQ(x.size(), y.size());
  double largest = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) largest = std::max(largest, std::abs(x[i] - y[i]));
  return largest;
}

/// tr dD/dz by central differences of the model's own denoiser.
double differences(ScoreModel& model, const Tensor& z, double t) {
  const std::vector<double> point = z.to_host_double();
  const double h = 1e-2;
  double trace = 0.0;
  for (std::size_t i = 0; i < point.size(); ++i) {
    std::vector<double> moved = point;
    moved[i] += h;
    const std::vector<double> up =
        model.predict(Tensor::from_host(std::span<const double>(moved), z.shape(), {}), std::vector{t}, View::x0)
            .to_host_double();
    moved[i] -= 2.0 * h;
    const std::vector<double> down =
        model.predict(Tensor::from_host(std::span<const double>(moved), z.shape(), {}), std::vector{t}, View::x0)
            .to_host_double();
    trace += (up[i] - down[i]) / (2.0 * h);
  }
  return trace;
}

TEST(GaussianScore, IsTheOneGaussianOfTheSetsMoments) {
  const data::ImageSet set = images();
  const std::vector<float> pixels = set.to_float();
  GaussianComponent component{1.0, std::vector<double>(d), std::vector<double>(d * d)};
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = 0; j < d; ++j) component.mean[j] += double{pixels[i * d + j]} / count;
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = 0; j < d; ++j)
      for (std::size_t k = 0; k < d; ++k)
        component.covariance[j * d + k] +=
            (pixels[i * d + j] - component.mean[j]) * (pixels[i * d + k] - component.mean[k]) / count;
  for (std::size_t j = 0; j < d; ++j)
    for (std::size_t k = 0; k < j; ++k) component.covariance[j * d + k] = component.covariance[k * d + j];
  for (const Process& process : {Process::linear(), Process::vp(), Process::edm()}) {
    GaussianScore model(set, process);
    GaussianMixtureScore truth({component}, process);
    const std::vector<double> t = {0.01, 0.3, 0.9};
    const Tensor z = states(process, t);
    for (const View view : {View::eps, View::x0, View::v, View::score})
      EXPECT_LT(largest_difference(model.predict(z, t, view), truth.predict(z, t, view)), 2e-5) << process.name();
    const auto divergence = model.denoiser_divergence(z, t), expected = truth.denoiser_divergence(z, t);
    for (std::size_t n = 0; n < t.size(); ++n) EXPECT_NEAR((*divergence)[n], (*expected)[n], 1e-9);
  }
}

// Wiener's theorem, by trial: no other affine denoiser of the form D + h (A z + b) has a smaller error on the set.
TEST(GaussianScore, HasTheLeastErrorOfAffineDenoisers) {
  const Process process = Process::linear();
  const double t = 0.4, a = process.alpha(t), s = process.sigma(t);
  GaussianScore model(images(), process);
  const std::vector<float> pixels = images().to_float();
  // Expected error over the noise: |D(a x) - x|^2 + s^2 |dD|^2, from D at a x and from its Jacobian, which is constant.
  std::vector<double> zero(d), jacobian(d * d);
  const Tensor origin = Tensor::zeros({1, side, side, 1}, {});
  const std::vector<double> offset = model.predict(origin, std::vector{t}, View::x0).to_host_double();
  for (std::size_t j = 0; j < d; ++j) {
    std::vector<double> unit(d);
    unit[j] = 1.0;
    const std::vector<double> answer =
        model
            .predict(Tensor::from_host(std::span<const double>(unit), {1, side, side, 1}, {}), std::vector{t}, View::x0)
            .to_host_double();
    for (std::size_t i = 0; i < d; ++i) jacobian[i * d + j] = answer[i] - offset[i];
  }
  const auto error = [&](const std::vector<double>& matrix, const std::vector<double>& shift) {
    double sum = 0.0;
    for (std::size_t n = 0; n < count; ++n)
      for (std::size_t i = 0; i < d; ++i) {
        double value = shift[i] - pixels[n * d + i];
        for (std::size_t j = 0; j < d; ++j) value += matrix[i * d + j] * a * pixels[n * d + j];
        sum += value * value;
      }
    for (const double entry : matrix) sum += count * s * s * entry * entry;
    return sum;
  };
  const double best = error(jacobian, offset);
  for (std::uint32_t trial = 0; trial < 20; ++trial) {
    std::vector<double> matrix = jacobian, shift = offset;
    for (std::size_t i = 0; i < d * d; ++i)
      matrix[i] += 0.02 * normal({.seed = 4}, trial, static_cast<std::uint32_t>(i));
    EXPECT_GT(error(matrix, offset), best);
    for (std::size_t i = 0; i < d; ++i) shift[i] += 0.02 * normal({.seed = 5}, trial, static_cast<std::uint32_t>(i));
    EXPECT_GT(error(jacobian, shift), best);
  }
}

TEST(PatchScore, OfThePatchThatCoversAllIsTheEmpiricalScore) {
  const Process process = Process::linear();
  for (const std::int64_t channels : {1, 3}) {
    PatchScore model(images(channels), process, [](double) { return 2 * side - 1; });
    EmpiricalScoreModel whole(EmpiricalScore(images(channels)), process);
    const std::vector<double> t = {0.05, 0.4, 0.8, 0.97};
    const Tensor z = states(process, t, channels);
    for (const View view : {View::x0, View::v})
      EXPECT_LT(largest_difference(model.predict(z, t, view), whole.predict(z, t, view)), 1e-4);
    const auto divergence = model.denoiser_divergence(z, t), expected = whole.denoiser_divergence(z, t);
    for (std::size_t n = 0; n < t.size(); ++n)
      EXPECT_NEAR((*divergence)[n], (*expected)[n], 1e-4 * (1.0 + (*expected)[n]));
  }
}

TEST(PatchScore, EqualsBruteForce) {
  const Process process = Process::vp();
  const std::vector<float> pixels = images(2).to_float();
  const double t = 0.3, a = process.alpha(t), s = process.sigma(t);
  const Tensor z = states(process, {t}, 2);
  const std::vector<double> point = z.to_host_double();
  for (const std::int64_t size : {1, 3, 5}) {
    PatchScore model(images(2), process, [size](double) { return size; });
    const std::vector<double> found = model.predict(z, std::vector{t}, View::x0).to_host_double();
    for (std::int64_t row = 0; row < side; ++row)
      for (std::int64_t column = 0; column < side; ++column) {
        std::vector<double> distance(count);
        for (std::int64_t i = 0; i < count; ++i)
          for (std::int64_t y = 0; y < side; ++y)
            for (std::int64_t x = 0; x < side; ++x)
              if (std::abs(y - row) <= size / 2 && std::abs(x - column) <= size / 2)
                for (std::int64_t c = 0; c < 2; ++c) {
                  const auto at = static_cast<std::size_t>((y * side + x) * 2 + c);
                  distance[i] += std::pow(point[at] - a * pixels[static_cast<std::size_t>(i * d * 2) + at], 2);
                }
        for (std::int64_t c = 0; c < 2; ++c) {
          const auto at = static_cast<std::size_t>((row * side + column) * 2 + c);
          double total = 0.0, mean = 0.0;
          for (std::int64_t i = 0; i < count; ++i) {
            const double weight = std::exp(-distance[i] / (2.0 * s * s));
            total += weight;
            mean += weight * pixels[static_cast<std::size_t>(i * d * 2) + at];
          }
          EXPECT_NEAR(found[at], mean / total, 1e-6);
        }
      }
    EXPECT_NEAR((*model.denoiser_divergence(z, std::vector{t}))[0], differences(model, z, t), 2e-2);
  }
}

TEST(PatchScore, PatchesGrowFromTheSmallestToTheImage) {
  const auto size = PatchScore::growing(Process::linear(), 16, 3);
  EXPECT_EQ(size(0.0), 3);
  EXPECT_EQ(size(1.0), 31);
  for (double t = 0.0; t <= 1.0; t += 0.01) EXPECT_EQ(size(t) % 2, 1);
  EXPECT_LT(size(0.3), size(0.7));
  PatchScore even(images(), Process::linear(), [](double) { return std::int64_t{2}; });
  EXPECT_THROW(even.predict(states(Process::linear(), {0.5}), std::vector{0.5}, View::x0), Error);
}

TEST(HybridScore, SwitchesByTimeAndByShell) {
  const Process process = Process::linear();
  const data::ImageSet set = images();
  auto exact = std::make_shared<EmpiricalScoreModel>(EmpiricalScore(set), process);
  auto smooth = std::make_shared<GaussianScore>(set, process);
  const std::vector<double> t = {0.2, 0.6, 0.5, 0.49, 0.9};
  const Tensor z = states(process, t);
  const std::vector<double> from_exact = exact->predict(z, t, View::v).to_host_double(),
                            from_smooth = smooth->predict(z, t, View::v).to_host_double();
  const auto expect = [&](HybridScore& hybrid, const std::vector<bool>& first) {
    const std::vector<double> found = hybrid.predict(z, t, View::v).to_host_double();
    const auto divergence = hybrid.denoiser_divergence(z, t), one = exact->denoiser_divergence(z, t),
               two = smooth->denoiser_divergence(z, t);
    for (std::size_t n = 0; n < t.size(); ++n) {
      for (std::size_t i = n * d; i < (n + 1) * d; ++i)
        EXPECT_NEAR(found[i], first[n] ? from_exact[i] : from_smooth[i], 1e-6) << n;
      EXPECT_NEAR((*divergence)[n], first[n] ? (*one)[n] : (*two)[n], 1e-9);
    }
  };
  HybridScore by_time = HybridScore::by_time(exact, smooth, 0.5);
  expect(by_time, {false, true, true, false, true});
  const auto data = std::make_shared<EmpiricalScore>(set);
  std::vector<float> alpha, sigma;
  for (const double level : t) {
    alpha.push_back(static_cast<float>(process.alpha(level)));
    sigma.push_back(static_cast<float>(process.sigma(level)));
  }
  const std::vector<double> r_star = data->evaluate(z.to_host(), alpha, sigma).r_star;
  const double limit = 1.0;
  std::vector<bool> outside;
  for (const double r : r_star) outside.push_back(r > limit);
  HybridScore by_shell = HybridScore::by_shell(exact, smooth, data, limit);
  expect(by_shell, outside);
  EXPECT_THROW(HybridScore::by_time(exact, std::make_shared<GaussianScore>(set, Process::vp()), 0.5), Error);
}

// Without a ridge it passes through the clean points of its own draws, which can be drawn again.
TEST(KernelRidgeScore, PassesThroughItsDraws) {
  const std::vector<float> pixels = {-1.0F, 0.0F, 1.0F, 0.0F};
  auto set = std::make_shared<DeviceImages>();
  set->pixels = Tensor::from_host(std::span<const float>(pixels), {2, 2}, {});
  set->height = set->width = 1;
  set->channels = 2;
  const Process process = Process::linear();
  const KernelRidgeOptions options{.draws = 40, .width = 0.2, .time_width = 0.1, .ridge = 1e-9, .seed = 1};
  KernelRidgeScore model(
      set, process, [](std::span<const double> z) { return std::vector<double>(z.begin(), z.end()); }, options);
  DrawRequest request{.seed = 1, .t = {}, .fields = DrawFields::clean, .coefficients = {}};
  for (std::uint32_t i = 0; i < 40; ++i)
    request.t.push_back(process.t_min() +
                        (process.t_max() - process.t_min()) * uniform({.seed = 1, .purpose = Purpose::noise_level}, i));
  const Draw draw = NoisedData(set, process).draw(request);
  EXPECT_LT(largest_difference(model.predict(draw.z, request.t, View::x0), draw.clean), 1e-3);
  const std::vector<float> v = model.predict(draw.z, request.t, View::v).to_host(), z = draw.z.to_host(),
                           clean = draw.clean.to_host();
  for (std::size_t i = 0; i < v.size(); ++i)  // v = (z - x0)/t on the linear path
    EXPECT_NEAR(v[i], (z[i] - clean[i]) / request.t[i / 2], 1e-3 / request.t[i / 2]);
  // Far from every draw it answers their mean clean point.
  double mean = 0.0;
  for (std::size_t i = 0; i < 40; ++i) mean += double{clean[2 * i]} / 40.0;
  const std::vector<double> far = {40.0, 40.0};
  const std::vector<float> there =
      model.predict(Tensor::from_host(std::span<const double>(far), {1, 1, 1, 2}, {}), std::vector{0.5}, View::x0)
          .to_host();
  EXPECT_NEAR(there[0], mean, 1e-6);
  EXPECT_NEAR(there[1], 0.0, 1e-6);
}

TEST(EmpiricalScoreModel, SeesMirrorImagesWhereAskedTo) {
  const data::ImageSet set = images();
  std::vector<float> both = set.to_float(), flipped = both;
  for (std::size_t row = 0; row < flipped.size(); row += side)
    std::reverse(flipped.begin() + static_cast<std::ptrdiff_t>(row),
                 flipped.begin() + static_cast<std::ptrdiff_t>(row + side));
  both.insert(both.end(), flipped.begin(), flipped.end());
  const data::ImageSet doubled =
      data::make_image_set("both", data::Split::train, {2 * count, side, side, 1}, std::span<const float>(both));
  const Process process = Process::linear();
  EmpiricalScoreModel mirrored(EmpiricalScore(set, {}, true), process), explicit_set(EmpiricalScore(doubled), process);
  const std::vector<double> t = {0.3, 0.7, 0.95};
  const Tensor z = states(process, t);
  EXPECT_LT(largest_difference(mirrored.predict(z, t, View::v), explicit_set.predict(z, t, View::v)), 2e-5);
}

}  // namespace
}  // namespace tweedie
