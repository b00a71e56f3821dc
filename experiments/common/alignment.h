#pragma once

#include <nlohmann/json_fwd.hpp>

#include <filesystem>
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
/// Throws UsageError for images that have no labels or of a size that the encoder cannot have.
void require_encodable(const data::ImageSet& images);
TrainedEncoder train_encoder_on(const data::ImageSet& train, const data::ImageSet& test, const EncoderOptions& options,
                                Device device, std::uint64_t seed, Progress& progress);

/// The folder of an encoder: its weights and config.json, and last tweedie.json, which says what it was trained on.
/// `about` is what tweedie.json holds besides "description".
void save_trained(const std::filesystem::path& folder, const TrainedEncoder& trained,
                  const nlohmann::ordered_json& about);
/// The feature space of such a folder. Throws Error naming the file that is missing or bad.
std::shared_ptr<const EncoderFeatures> load_features(const std::filesystem::path& folder, Device device);
/// The same for images of some shape; throws UsageError naming `flag` where the encoder takes others.
std::shared_ptr<const EncoderFeatures> load_features(const std::filesystem::path& folder, const data::ImageSet& images,
                                                     const std::string& flag, Device device);

}  // namespace tweedie::experiments
