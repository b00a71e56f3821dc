#include "diffusion/patch_score.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "diffusion/per_sample.h"
#include "kernels/runtime/parallel.h"

namespace tweedie {
namespace {

/// out[p] = sum of `values` (height, width) over the square of 2 reach + 1 a side around p, by running sums: rows, then
/// columns.
void box_sums(std::vector<double>& values, std::int64_t height, std::int64_t width, std::int64_t reach) {
  std::vector<double> prefix(static_cast<std::size_t>(std::max(height, width)) + 1);
  const auto along = [&](std::int64_t lines, std::int64_t length, std::int64_t line_stride, std::int64_t stride) {
    for (std::int64_t line = 0; line < lines; ++line) {
      double* first = &values[static_cast<std::size_t>(line * line_stride)];
      for (std::int64_t i = 0; i < length; ++i)
        prefix[static_cast<std::size_t>(i) + 1] = prefix[static_cast<std::size_t>(i)] + first[i * stride];
      for (std::int64_t i = 0; i < length; ++i)
        first[i * stride] = prefix[static_cast<std::size_t>(std::min(i + reach, length - 1)) + 1] -
                            prefix[static_cast<std::size_t>(std::max<std::int64_t>(i - reach, 0))];
    }
  };
  along(height, width, width, 1);
  along(width, height, 1, width);
}

}  // namespace

PatchScore::PatchScore(const data::ImageSet& images, const Process& process, PatchSize patch, Device device)
    : images_(images.to_float()),
      count_(images.count),
      height_(images.height),
      width_(images.width),
      channels_(images.channels),
      process_(process),
      patch_(std::move(patch)),
      device_(device) {
  require(count_ >= 1, "patch score: the data set is empty");
  require(patch_ != nullptr, "patch score: no patch size");
}

PatchScore::PatchSize PatchScore::growing(const Process& process, std::int64_t side, std::int64_t smallest) {
  return [process, side, smallest](double t) {
    const double share = process.sigma(t) / (process.alpha(t) + process.sigma(t));
    const auto size = static_cast<std::int64_t>(static_cast<double>(smallest) +
                                                static_cast<double>(2 * side - 1 - smallest) * share + 1e-9);
    return size % 2 == 1 ? size : size - 1;
  };
}

PatchScore::Answer PatchScore::answer(std::span<const double> z, double t) const {
  const std::int64_t size = patch_(t), pixels = height_ * width_;
  require(size >= 1 && size % 2 == 1, "patch score: a patch of {} pixels a side at t = {}, expected an odd number",
          size, t);
  const double a = process_.alpha(t), s = process_.sigma(t);
  const auto d = static_cast<std::size_t>(pixels * channels_), per = static_cast<std::size_t>(channels_);
  // A softmax at each pixel, taken up image by image: its maximum so far, and sums relative to it.
  std::vector<double> largest(static_cast<std::size_t>(pixels), -std::numeric_limits<double>::infinity());
  std::vector<double> total(static_cast<std::size_t>(pixels)), first(d), second(d), logits(largest.size());
  for (std::int64_t i = 0; i < count_; ++i) {
    const float* image = &images_[static_cast<std::size_t>(i) * d];
    for (std::size_t p = 0; p < logits.size(); ++p) {
      logits[p] = 0.0;
      for (std::size_t j = p * per; j < (p + 1) * per; ++j) {
        const double difference = z[j] - a * double{image[j]};
        logits[p] -= 0.5 * difference * difference / (s * s);
      }
    }
    box_sums(logits, height_, width_, size / 2);
    for (std::size_t p = 0; p < logits.size(); ++p) {
      double weight = 1.0;
      if (logits[p] > largest[p]) {
        const double shrink = std::exp(largest[p] - logits[p]);
        largest[p] = logits[p];
        total[p] *= shrink;
        for (std::size_t j = p * per; j < (p + 1) * per; ++j) {
          first[j] *= shrink;
          second[j] *= shrink;
        }
      } else {
        weight = std::exp(logits[p] - largest[p]);
      }
      total[p] += weight;
      for (std::size_t j = p * per; j < (p + 1) * per; ++j) {
        first[j] += weight * double{image[j]};
        second[j] += weight * double{image[j]} * double{image[j]};
      }
    }
  }
  Answer answer{.clean = std::vector<double>(d)};
  for (std::size_t j = 0; j < d; ++j) {
    answer.clean[j] = first[j] / total[j / per];
    answer.variance += std::max(0.0, second[j] / total[j / per] - answer.clean[j] * answer.clean[j]);
  }
  return answer;
}

void PatchScore::check(const Tensor& z, std::span<const double> t, const Tensor& labels) const {
  check_batch("patch score", z, t);
  require(!labels.defined(), "patch score: labels given to a model that knows nothing of classes");
  require(!(z.requires_grad() && grad_enabled()), "patch score: not differentiable, but z requires a gradient");
  require(z.shape().count_between(1, z.rank()) == height_ * width_ * channels_,
          "patch score: z has shape {}, expected images of {} x {} x {}", z.shape(), height_, width_, channels_);
}

Tensor PatchScore::predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels) {
  check(z, t, labels);
  const std::vector<double> points = z.to_host_double();
  const auto d = static_cast<std::size_t>(height_ * width_ * channels_);
  std::vector<double> values(points.size());
  parallel_for(static_cast<std::int64_t>(t.size()), 1, [&](std::int64_t from, std::int64_t to) {
    for (auto n = static_cast<std::size_t>(from); n < static_cast<std::size_t>(to); ++n) {
      const std::span<const double> point = std::span(points).subspan(n * d, d);
      if (process_.sigma(t[n]) == 0.0) {
        const ViewConversion c = conversion(process_, t[n], View::x0, view);  // throws unless it is the identity
        for (std::size_t j = 0; j < d; ++j) values[n * d + j] = c.p * point[j] / process_.alpha(t[n]);
        continue;
      }
      const Answer known = answer(point, t[n]);
      const ViewConversion c = from_posterior_mean(process_, t[n], view);
      for (std::size_t j = 0; j < d; ++j) values[n * d + j] = c.p * known.clean[j] + c.q * point[j];
    }
  });
  return Tensor::from_host(std::span<const double>(values), z.shape(), z.device());
}

std::optional<std::vector<double>> PatchScore::denoiser_divergence(const Tensor& z, std::span<const double> t,
                                                                   const Tensor& labels) {
  check(z, t, labels);
  const std::vector<double> points = z.to_host_double();
  const auto d = static_cast<std::size_t>(height_ * width_ * channels_);
  std::vector<double> divergence(t.size());
  parallel_for(static_cast<std::int64_t>(t.size()), 1, [&](std::int64_t from, std::int64_t to) {
    for (auto n = static_cast<std::size_t>(from); n < static_cast<std::size_t>(to); ++n) {
      // d log w_ip / d z_p = -(z_p - alpha x_ip)/sigma^2, whose covariance with x_ip is alpha/sigma^2 Var_w(x_ip).
      const double s = process_.sigma(t[n]);
      require(s > 0.0, "patch score: no divergence at sigma = 0");
      divergence[n] = process_.alpha(t[n]) / (s * s) * answer(std::span(points).subspan(n * d, d), t[n]).variance;
    }
  });
  return divergence;
}

}  // namespace tweedie
