#include "diffusion/closed_form.h"

#include <charconv>
#include <cmath>
#include <optional>

#include "diffusion/data/synthetic.h"
#include "diffusion/empirical_score_model.h"
#include "diffusion/gaussian_mixture.h"
#include "diffusion/gaussian_score.h"
#include "diffusion/hybrid_score.h"
#include "diffusion/linear_model.h"
#include "diffusion/patch_score.h"
#include "diffusion/tangent_kernel.h"

namespace tweedie {
namespace {

/// The numbers of "name:a,b"; each above 0.
std::vector<double> numbers_of(std::string_view text) {
  std::vector<double> numbers;
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return numbers;
  for (std::size_t begin = colon + 1; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    double value = 0.0;
    const auto [rest, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || rest != part.data() + part.size() || !(value > 0.0) || !std::isfinite(value))
      throw UsageError(fmt::format("model {}: '{}' is not a number above 0", text, part));
    numbers.push_back(value);
    begin = end + 1;
  }
  return numbers;
}

std::int64_t whole(double value, std::string_view text) {
  if (value != std::floor(value) || value > 1e6)
    throw UsageError(fmt::format("model {}: {} is not a whole number up to a million", text, value));
  return static_cast<std::int64_t>(value);
}

PointSet points_of(const data::ImageSet& images) {
  const std::vector<float> pixels = images.to_float();
  return PointSet({pixels.begin(), pixels.end()}, images.dimension());
}

/// The root mean square distance between two images: twice the total variance, under the root.
double spread_of(const PointSet& set) {
  const auto d = static_cast<std::size_t>(set.dimension());
  const auto n = static_cast<double>(set.count());
  std::vector<double> mean(d);
  for (std::size_t i = 0; i < set.points().size(); ++i) mean[i % d] += set.points()[i] / n;
  double squares = 0.0;
  for (std::size_t i = 0; i < set.points().size(); ++i) squares += std::pow(set.points()[i] - mean[i % d], 2) / n;
  return squares > 0.0 ? std::sqrt(2.0 * squares) : 1.0;
}

/// Levels at which regressions are fitted: below, the loss's weight alpha^2/sigma^2 would leave no other level a say.
constexpr double least_level = 0.02;

LinearDraws draws_of(const PointSet& set, const ClosedFormGround& ground, std::int64_t count) {
  return draw_training(set,
                       {.process = ground.process,
                        .t_min = std::max(least_level, ground.process.t_min()),
                        .t_max = ground.process.t_max(),
                        .count = count,
                        .seed = ground.seed},
                       0);
}

std::shared_ptr<ScoreModel> true_law(const ClosedFormGround& ground) {
  const std::string& name = ground.images.name;
  const auto d = static_cast<std::size_t>(ground.images.dimension());
  std::vector<GaussianComponent> components;
  if (name.starts_with("gaussian:")) {
    components.push_back({1.0, std::vector<double>(d), {1.0}});
  } else if (name.starts_with("mixture:")) {
    const data::MixtureParameters mixture = data::parse_mixture(std::string_view(name).substr(8));
    for (std::size_t k = 0; k < static_cast<std::size_t>(mixture.components); ++k)
      components.push_back({1.0,
                            {mixture.means.begin() + static_cast<std::ptrdiff_t>(k * d),
                             mixture.means.begin() + static_cast<std::ptrdiff_t>((k + 1) * d)},
                            {mixture.deviation * mixture.deviation}});
  } else {
    throw UsageError(
        fmt::format("model truth: the law of the data '{}' is not known; that of gaussian:D and "
                    "mixture:K,D is",
                    name));
  }
  return std::make_shared<GaussianMixtureScore>(std::move(components), ground.process, ground.device);
}

std::shared_ptr<ScoreModel> patches(std::string_view text, const std::vector<double>& numbers,
                                    const ClosedFormGround& ground) {
  const data::ImageSet& images = ground.images;
  PatchScore::PatchSize size = PatchScore::growing(ground.process, std::max(images.height, images.width));
  if (!numbers.empty()) {
    const std::int64_t side = whole(numbers[0], text);
    if (side % 2 == 0) throw UsageError(fmt::format("model {}: patches have an odd number of pixels a side", text));
    size = [side](double) { return side; };
  }
  return std::make_shared<PatchScore>(images, ground.process, size, ground.device);
}

std::shared_ptr<ScoreModel> random_features(std::string_view text, const std::vector<double>& numbers,
                                            const ClosedFormGround& ground) {
  const std::int64_t count = numbers.empty() ? 512 : whole(numbers[0], text),
                     draws = numbers.size() < 2 ? 4 * count : whole(numbers[1], text);
  const PointSet set = points_of(ground.images);
  const auto features =
      std::make_shared<RandomFeatures>(set.dimension(), count, spread_of(set), ground.process.t_max(), ground.seed);
  const LinearDraws drawn = draws_of(set, ground, draws);
  constexpr double ridge = 1e-3;
  return std::make_shared<LinearScore>(features, fit_linear(*features, ground.process, drawn, ridge).front(),
                                       ground.process, ground.device);
}

std::shared_ptr<ScoreModel> tangent_kernel_model(std::string_view text, const std::vector<double>& numbers,
                                                 const ClosedFormGround& ground) {
  const double time = numbers.empty() ? 1e4 : numbers[0];
  const std::int64_t draws = numbers.size() < 2 ? 512 : whole(numbers[1], text);
  const PointSet set = points_of(ground.images);
  const LinearDraws drawn = draws_of(set, ground, draws);
  const auto d = static_cast<std::size_t>(set.dimension());
  // Time counts as much as the whole of a typical state.
  const double time_scale = spread_of(set) / ground.process.t_max();
  std::vector<double> inputs, weights;
  for (std::size_t i = 0; i < drawn.t.size(); ++i) {
    for (const double value : network_input({&drawn.z[i * d], d}, drawn.t[i], time_scale)) inputs.push_back(value);
    weights.push_back(std::pow(ground.process.alpha(drawn.t[i]) / ground.process.sigma(drawn.t[i]), 2));
  }
  constexpr int hidden_layers = 2;
  const auto flow = std::make_shared<KernelFlow>(std::move(inputs), static_cast<std::int64_t>(d) + 2,
                                                 std::move(weights), hidden_layers);
  return std::make_shared<KernelScore>(flow, drawn.target, time / flow->rates().back(), time_scale, ground.process,
                                       ground.device);
}

std::shared_ptr<ScoreModel> hybrid(bool by_time, double at, const ClosedFormGround& ground) {
  require(ground.network != nullptr, "hybrid models need a network");
  const auto data = std::make_shared<EmpiricalScore>(ground.images, ground.device);
  const auto exact = std::make_shared<EmpiricalScoreModel>(*data, ground.process);
  return std::make_shared<HybridScore>(by_time ? HybridScore::by_time(exact, ground.network, at)
                                               : HybridScore::by_shell(exact, ground.network, data, at));
}

}  // namespace

std::string closed_form_help() {
  return "empirical (the data's exact score), mirrored (with their flips), gaussian (Wiener's denoiser), truth (the "
         "law "
         "of synthetic data), patch[:SIDE], features[:COUNT[,DRAWS]] (ridge regression), ntk[:TIME[,DRAWS]], "
         "hybrid-time:T and hybrid-shells:LIMIT (the exact score above, the checkpoint below)";
}

bool needs_network(std::string_view text) {
  return text.starts_with("hybrid-");
}

std::shared_ptr<ScoreModel> parse_closed_form(std::string_view text, const ClosedFormGround& ground) {
  const std::string_view name = text.substr(0, text.find(':'));
  const std::vector<double> numbers = numbers_of(text);
  const auto takes = [&](std::size_t least, std::size_t most) {
    if (numbers.size() < least || numbers.size() > most)
      throw UsageError(fmt::format("model {}: expected {}", text, closed_form_help()));
  };
  if (name == "empirical" || name == "mirrored") {
    takes(0, 0);
    return std::make_shared<EmpiricalScoreModel>(EmpiricalScore(ground.images, ground.device, name == "mirrored"),
                                                 ground.process);
  }
  if (name == "gaussian") {
    takes(0, 0);
    return std::make_shared<GaussianScore>(ground.images, ground.process, ground.device);
  }
  if (name == "truth") {
    takes(0, 0);
    return true_law(ground);
  }
  if (name == "patch") {
    takes(0, 1);
    return patches(text, numbers, ground);
  }
  if (name == "features") {
    takes(0, 2);
    return random_features(text, numbers, ground);
  }
  if (name == "ntk") {
    takes(0, 2);
    return tangent_kernel_model(text, numbers, ground);
  }
  if (name == "hybrid-time" || name == "hybrid-shells") {
    takes(1, 1);
    return hybrid(name == "hybrid-time", numbers[0], ground);
  }
  throw UsageError(fmt::format("model '{}': expected {}", text, closed_form_help()));
}

}  // namespace tweedie
