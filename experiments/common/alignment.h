#pragma once

#include <memory>
#include <string>

#include "diffusion/alignment.h"
#include "diffusion/encoder_training.h"
#include "diffusion/feature_space.h"
#include "diffusion/network_score.h"

namespace tweedie::experiments {

class CommandLine;
class Progress;

/// Representation alignment: --align --align-layer --encoder.
struct AlignmentOptions {
  double weight = 0.0;
  std::string layer;    // empty: the network's middle
  std::string encoder;  // a folder that train_encoder wrote
};
void add_options(CommandLine& line, AlignmentOptions& options);

/// The auxiliary term that the options ask for with this encoder; none where the weight is 0.
std::shared_ptr<RepresentationAlignment> make_alignment(const AlignmentOptions& options,
                                                        std::shared_ptr<const ConvEncoder> encoder, NetworkScore& model,
                                                        std::uint64_t seed);
/// The same with the encoder of --encoder. Throws UsageError where that is missing.
std::shared_ptr<RepresentationAlignment> make_alignment(const AlignmentOptions& options, NetworkScore& model,
                                                        std::uint64_t seed);

/// How an encoder is trained.
struct EncoderOptions {
  std::int64_t steps = 2000;
  std::int64_t batch = 128;
  std::int64_t base_channels = 32;
  double learning_rate = 1e-3;
};

/// A classifier of `train`, with its accuracy on `test`.
struct TrainedEncoder {
  std::shared_ptr<ConvEncoder> encoder;
  double train_accuracy = 0.0, test_accuracy = 0.0;
  std::int64_t test_count = 0;
  std::vector<double> losses;  // of each step
  std::string description;     // of its feature space, for reports
};
/// Throws UsageError for images without labels or of a size the encoder cannot have.
TrainedEncoder train_encoder_on(const data::ImageSet& train, const data::ImageSet& test, const EncoderOptions& options,
                                Device device, std::uint64_t seed, Progress& progress);

}  // namespace tweedie::experiments
