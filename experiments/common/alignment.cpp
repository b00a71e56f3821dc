#include "experiments/common/alignment.h"

#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include "experiments/common/command_line.h"
#include "experiments/common/progress.h"
#include "experiments/common/signals.h"
#include "experiments/common/training.h"
#include "nn/io/file.h"

namespace tweedie::experiments {

void add_options(CommandLine& line, AlignmentOptions& options) {
  CLI::App& app = line.app();
  app.add_option("--align", options.weight,
                 "Weight of representation alignment (REPA) with a frozen encoder's patches; 0: none")
      ->check(CLI::Range(0.0, 1e3))
      ->group("Model");
  app.add_option("--align-layer", options.layer, "The hidden layer that is aligned; the middle one by default")
      ->type_name("NAME")
      ->group("Model");
  app.add_option("--encoder", options.encoder, "The encoder: a folder that train_encoder wrote")
      ->type_name("DIR")
      ->group("Model");
}

std::shared_ptr<RepresentationAlignment> make_alignment(const AlignmentOptions& options,
                                                        std::shared_ptr<const ConvEncoder> encoder, NetworkScore& model,
                                                        std::uint64_t seed) {
  if (options.weight == 0.0) return nullptr;
  Network& network = model.network();
  return std::make_shared<RepresentationAlignment>(
      std::move(encoder), network,
      RepresentationAlignment::Options{.weight = options.weight,
                                       .layer = options.layer.empty() ? middle_layer(network) : options.layer},
      seed);
}

std::shared_ptr<RepresentationAlignment> make_alignment(const AlignmentOptions& options, NetworkScore& model,
                                                        std::uint64_t seed) {
  if (options.weight == 0.0) return nullptr;
  if (options.encoder.empty()) throw UsageError("--align: needs --encoder, a folder that train_encoder wrote");
  return make_alignment(options, load_encoder(options.encoder, model.device()), model, seed);
}

void require_encodable(const data::ImageSet& images) {
  if (images.classes == 0)
    throw UsageError(fmt::format("the data '{}' have no labels to train an encoder on", images.name));
  if (images.height % 4 != 0 || images.width % 4 != 0)
    throw UsageError(
        fmt::format("an encoder halves pictures twice, so their sides must be multiples of 4; the data have "
                    "{} x {}: give --resolution",
                    images.height, images.width));
}

TrainedEncoder train_encoder_on(const data::ImageSet& train, const data::ImageSet& test, const EncoderOptions& options,
                                Device device, std::uint64_t seed, Progress& progress) {
  require_encodable(train);
  TrainedEncoder result;
  result.encoder = std::make_shared<ConvEncoder>(ConvEncoderConfig{.height = train.height,
                                                                   .width = train.width,
                                                                   .channels = train.channels,
                                                                   .base_channels = options.base_channels,
                                                                   .classes = train.classes},
                                                 device, seed);
  const auto train_images = on_device(train, device), test_images = on_device(test, device);
  Progress::Stage stage(progress, "train encoder", options.steps);
  EncoderTrainingOptions training{.steps = options.steps, .batch = options.batch, .seed = seed};
  training.optimizer.learning_rate = {.base = options.learning_rate,
                                      .warmup = std::min<std::int64_t>(50, options.steps / 10),
                                      .schedule = LearningRate::Schedule::cosine,
                                      .total = options.steps};
  training.optimizer.weight_decay = 0.01;
  training.after_step = [&](std::int64_t, double loss) {
    stage.advance(1, fmt::format("loss {:.3g}", loss));
    result.losses.push_back(loss);
    if (stop_requested()) stop("no encoder was written");
    return true;
  };
  train_encoder(*result.encoder, *train_images, training);
  result.train_accuracy = classification_accuracy(*result.encoder, *train_images);
  result.test_accuracy = classification_accuracy(*result.encoder, *test_images);
  result.test_count = test.count;
  result.description = fmt::format(
      "{} features of a convolutional classifier of {} ({} training images of {} x {}, test accuracy {:.1f} %)",
      result.encoder->feature_channels(), train.name, train.count, train.height, train.width,
      100.0 * result.test_accuracy);
  return result;
}

void save_trained(const std::filesystem::path& folder, const TrainedEncoder& trained,
                  const nlohmann::ordered_json& about) {
  save_encoder(folder, *trained.encoder);
  nlohmann::ordered_json all = about;
  all["description"] = trained.description;
  io::write_file_atomic(folder / "tweedie.json", all.dump(2) + "\n");
}

std::shared_ptr<const EncoderFeatures> load_features(const std::filesystem::path& folder, Device device) {
  std::shared_ptr<const ConvEncoder> encoder = load_encoder(folder, device);
  const std::filesystem::path file = folder / "tweedie.json";
  const auto about = nlohmann::ordered_json::parse(io::read_text(file), nullptr, false);
  require(about.is_object() && about.contains("description") && about.at("description").is_string(),
          "{}: expected an object with a \"description\", as train_encoder writes it", file.string());
  return std::make_shared<EncoderFeatures>(std::move(encoder), about.at("description").get<std::string>());
}

std::shared_ptr<const EncoderFeatures> load_features(const std::filesystem::path& folder, const data::ImageSet& images,
                                                     const std::string& flag, Device device) {
  const auto features = load_features(folder, device);
  const ConvEncoderConfig& takes = features->encoder().config();
  if (takes.height != images.height || takes.width != images.width || takes.channels != images.channels)
    throw UsageError(fmt::format("{} {}: the encoder takes images of {} x {} x {}, these are of {} x {} x {}", flag,
                                 folder.string(), takes.height, takes.width, takes.channels, images.height,
                                 images.width, images.channels));
  return features;
}

}  // namespace tweedie::experiments
