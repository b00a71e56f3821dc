#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "diffusion/input_source.h"
#include "nn/conv_encoder.h"
#include "nn/optimizer.h"

namespace tweedie {

struct EncoderTrainingOptions {
  std::int64_t steps = 1000;
  std::int64_t batch = 128;
  std::uint64_t seed = 0;
  Optimizer::Options optimizer;
  /// After each step with its mean cross-entropy; returning false ends training there.
  std::function<bool(std::int64_t step, double loss)> after_step = {};
};

/// Trains a classifier on labelled images by cross-entropy. Batches are keyed by (seed, Purpose::choose_sample, step,
/// index). Throws Error for images without labels, and at a loss that is not finite.
void train_encoder(ConvEncoder& encoder, const DeviceImages& images, const EncoderTrainingOptions& options);

/// Share of labelled images whose largest logit is their label's.
double classification_accuracy(const ConvEncoder& encoder, const DeviceImages& images);

/// -log softmax(logits)[label] a sample: logits (N, classes), labels (N); (N).
Tensor cross_entropy(const Tensor& logits, std::span<const std::int64_t> labels);

}  // namespace tweedie
