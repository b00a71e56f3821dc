#include "diffusion/encoder_training.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduction.h"

namespace tweedie {
namespace {

/// Images without noise, (N, H, W, C).
Tensor pictures(const DeviceImages& images, std::span<const std::int64_t> indices) {
  const std::vector<double> t(indices.size(), 0.0);
  return noised_images(images, Process::linear(), indices, t, {}, indices);
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, std::span<const std::int64_t> labels) {
  require(logits.rank() == 2 && logits.size(0) == static_cast<std::int64_t>(labels.size()),
          "cross-entropy: logits {} for {} labels", logits.shape(), labels.size());
  const std::int64_t classes = logits.size(1);
  const auto rows = labels.size(), columns = static_cast<std::size_t>(classes);
  const std::vector<float> values = logits.to_host();
  std::vector<float> largest(rows), chosen(values.size(), 0.0f);
  for (std::size_t n = 0; n < rows; ++n) {
    require(labels[n] >= 0 && labels[n] < classes, "cross-entropy: label {} of {} classes", labels[n], classes);
    const auto row = std::span(values).subspan(n * columns, columns);
    largest[n] = *std::max_element(row.begin(), row.end());
    chosen[n * columns + static_cast<std::size_t>(labels[n])] = 1.0f;
  }
  // Less its largest, a row's exponentials neither overflow nor all vanish; the constant takes no part in the gradient.
  const Tensor shifted =
      subtract(logits, Tensor::from_host(std::span<const float>(largest), {logits.size(0), 1}, logits.device()));
  const Tensor picked = Tensor::from_host(std::span<const float>(chosen), logits.shape(), logits.device());
  return subtract(log(sum(exp(shifted), 1, 2)), sum(multiply(shifted, picked), 1, 2));
}

void train_encoder(ConvEncoder& encoder, const DeviceImages& images, const EncoderTrainingOptions& options) {
  require(!images.labels.empty(), "encoder training: the images have no labels");
  Optimizer optimizer(encoder, options.optimizer);
  for (std::int64_t step = 0; step < options.steps; ++step) {
    const RandomKey key{options.seed, Purpose::choose_sample, static_cast<std::uint32_t>(step)};
    std::vector<std::int64_t> indices, labels;
    for (std::int64_t i = 0; i < options.batch; ++i) {
      indices.push_back(uniform_integer(key, static_cast<std::uint32_t>(i), images.count()));
      labels.push_back(images.labels[static_cast<std::size_t>(indices.back())]);
    }
    const Tensor loss = mean(cross_entropy(encoder.logits(pictures(images, indices)), labels));
    loss.backward();
    optimizer.form_gradient_norm();
    const double value = loss.item();
    require(std::isfinite(value) && std::isfinite(optimizer.gradient_norm()),
            "encoder training step {}: the loss is {}; lower the learning rate", step + 1, value);
    optimizer.step();
    if (options.after_step && !options.after_step(step + 1, value)) return;
  }
}

double classification_accuracy(const ConvEncoder& encoder, const DeviceImages& images) {
  require(!images.labels.empty(), "classification accuracy: the images have no labels");
  const NoGrad guard;
  constexpr std::int64_t batch = 256;
  std::int64_t correct = 0;
  for (std::int64_t first = 0; first < images.count(); first += batch) {
    std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min(batch, images.count() - first)));
    std::iota(indices.begin(), indices.end(), first);
    const std::vector<float> logits = encoder.logits(pictures(images, indices)).to_host();
    const auto classes = logits.size() / indices.size();
    for (std::size_t n = 0; n < indices.size(); ++n) {
      const auto row = std::span(logits).subspan(n * classes, classes);
      const auto best = std::max_element(row.begin(), row.end()) - row.begin();
      if (best == images.labels[static_cast<std::size_t>(indices[n])]) ++correct;
    }
  }
  return static_cast<double>(correct) / static_cast<double>(images.count());
}

}  // namespace tweedie
