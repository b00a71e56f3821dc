#include "diffusion/interventions.h"

#include <charconv>
#include <cmath>
#include <optional>

#include "diffusion/batch_target.h"
#include "diffusion/checkpoint.h"
#include "diffusion/duplicated_target.h"
#include "diffusion/posterior_targets.h"
#include "diffusion/thick_shells.h"
#include "diffusion/trajectory_states.h"

namespace tweedie {
namespace {

/// "name" or "name:argument".
std::pair<std::string_view, std::optional<std::string_view>> split(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return {text, {}};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

template <typename Number>
Number parse_number(std::string_view text, std::string_view whole, const char* option) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value > 0))
    throw UsageError(fmt::format("{} {}: '{}' is not a number above 0", option, whole, text));
  return value;
}

std::int64_t count_or(const std::optional<std::string_view>& argument, std::int64_t otherwise, std::string_view whole) {
  return argument ? parse_number<std::int64_t>(*argument, whole, "target") : otherwise;
}

std::shared_ptr<const InputSource> trajectory_source(std::string_view argument, const InterventionGround& ground) {
  const std::size_t comma = argument.rfind(',');
  TrajectoryOptions options{.seed = ground.seed};
  if (comma != std::string_view::npos)
    options.count = parse_number<std::int64_t>(argument.substr(comma + 1), argument, "source trajectory");
  const std::filesystem::path folder(argument.substr(0, comma));
  const auto model = load_checkpoint(folder, preferred_weights(folder), ground.device());
  const CheckpointInfo info = read_checkpoint_info(folder);
  const Shape image{ground.region.height, ground.region.width, ground.region.channels};
  if (model->process() != ground.process || Shape{info.height, info.width, info.channels} != image)
    throw UsageError(fmt::format(
        "source trajectory: {} holds a model of {} x {} x {} images on the process {}, not of {} on the process {}",
        folder.string(), info.height, info.width, info.channels, model->process().json(), image,
        ground.process.json()));
  if (const std::int64_t classes = model->classes(); classes > 0)
    for (std::int64_t i = 0; i < options.count; ++i) options.labels.push_back(i % classes);
  else if (ground.conditional)
    throw UsageError(
        fmt::format("source trajectory: {} is not conditioned on labels, so its states have none", folder.string()));
  return std::make_shared<TrajectoryStates>(*model, image, options);
}

}  // namespace

std::shared_ptr<const InputSource> parse_source(std::string_view text, const InterventionGround& ground) {
  const auto [name, argument] = split(text);
  if (name == "data" && !argument) return std::make_shared<NoisedData>(ground.region_images, ground.process);
  if (name == "shells" && argument)
    return std::make_shared<ThickShells>(ground.region_images, ground.process,
                                         parse_number<double>(*argument, text, "source"));
  if (name == "trajectory" && argument) return trajectory_source(*argument, ground);
  throw UsageError(fmt::format("source '{}': expected data, shells:WIDTH or trajectory:CHECKPOINT[,COUNT]", text));
}

std::shared_ptr<const Target> parse_target(std::string_view text, const InterventionGround& ground) {
  const auto [name, argument] = split(text);
  const auto score = [&] { return EmpiricalScore(ground.score_set, ground.device()); };
  if (name == "conditional" && !argument) return std::make_shared<ConditionalTarget>();
  if (name == "exact" && !argument)
    return std::make_shared<ExactTarget>(std::make_shared<EmpiricalScore>(score()), ground.conditional);
  if (name == "posterior")
    return std::make_shared<PosteriorTarget>(std::make_shared<PosteriorSampler>(ground.score_set, ground.device()),
                                             count_or(argument, 1, text), ground.conditional);
  if (name == "batch" || name == "batch-without") {
    if (ground.conditional) throw UsageError(fmt::format("target {}: not for networks conditioned on labels", text));
    return std::make_shared<BatchTarget>(ground.region, count_or(argument, 256, text), name == "batch");
  }
  if (name == "duplicated" && !argument) return std::make_shared<DuplicatedTarget>(ground.region, score());
  throw UsageError(fmt::format(
      "target '{}': expected conditional, posterior[:K], exact, batch[:M], batch-without[:M] or duplicated", text));
}

}  // namespace tweedie
