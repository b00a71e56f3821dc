#include "diffusion/empirical_score.h"

#include <CLI/App.hpp>

#include <algorithm>
#include <cmath>

#include "diffusion/data/load.h"
#include "experiments/common/command_line.h"
#include "experiments/common/log.h"
#include "experiments/common/options.h"
#include "experiments/common/progress.h"
#include "experiments/common/resources.h"
#include "experiments/common/signals.h"
#include "nn/io/npz.h"

namespace tweedie::experiments {
namespace {

const Program program = {
    .name = "empirical_score",
    .description = "The closed-form score of a data set at given points, each with its own alpha and sigma.",
    .examples = {{"empirical_score --data fashion-mnist --points z.npy --alpha a.npy --sigma s.npy --out o.npz",
                  "writes x0, score, trace_cov, nearest, r_star, entropy and effective_count, one row a point"},
                 {"empirical_score --data x.npy --points z.npy --alpha a.npy --sigma s.npy --out o.npz",
                  "the same for the data in x.npy: floats as they are, uint8 v as v / 127.5 - 1"}}};

struct Options {
  ComputeOptions compute;
  DataOptions data;
  std::string points, alpha, sigma, labels, excluded, out;
  bool mirrored = false;
  std::int64_t batch = 1024;
};

void declare(CommandLine& line, Options& options) {
  CLI::App& app = line.app();
  add_options(line, options.data);
  const auto file = [&](const char* name, std::string& value, const char* text, const char* type = "FILE.npy") {
    return app.add_option(name, value, text)->type_name(type)->group("Query");
  };
  file(
      "--points", options.points,
      "Where: float32 (N, ...), each point as many numbers as a datum has; (N, C, H, W) for images of several channels")
      ->required();
  file("--alpha", options.alpha, "z = alpha x + sigma e: float32 (N), at least 0")->required();
  file("--sigma", options.sigma, "float32 (N), above 0")->required();
  file("--labels", options.labels, "int64 (N): only the data of this class (-1: all)");
  file("--excluded", options.excluded, "int64 (N): a row of the data to leave out (-1: none)");
  app.add_flag("--mirrored", options.mirrored, "The data also hold each image flipped left to right (index N + i)")
      ->group("Query");
  file("--out", options.out, "What to write", "FILE.npz")->required();
  app.add_option("--batch", options.batch, "Points in memory at once")->check(CLI::PositiveNumber)->group("Query");
  add_options(line, options.compute);
}

struct Query {
  Shape shape;                // of points
  std::vector<float> points;  // (N, d), pixels in the order of the images'
  std::vector<float> alpha, sigma;
  std::vector<std::int64_t> labels, excluded;
  std::int64_t count() const { return shape[0]; }
};

/// Between (C, H, W), as files hold a point, and (H, W, C), as the images do.
void reorder(std::span<const float> from, std::span<float> to, const data::ImageSet& images, bool to_images) {
  const std::int64_t channels = images.channels, positions = images.height * images.width;
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t p = 0; p < positions; ++p) {
      const std::int64_t file = c * positions + p, image = p * channels + c;
      to[to_images ? image : file] = from[to_images ? file : image];
    }
}

std::vector<float> read_floats(const std::string& file, std::int64_t count) {
  const io::HostArray array = io::read_npy(file);
  require(array.dtype == DType::float32 && array.shape == Shape({count}),
          "{}: {} of shape {}, expected float32 of shape ({})", file, name_of(array.dtype), array.shape, count);
  const auto values = array.as<float>();
  return {values.begin(), values.end()};
}

std::vector<std::int64_t> read_integers(const std::string& file, std::int64_t count) {
  if (file.empty()) return {};
  const io::HostArray array = io::read_npy(file);
  require(array.dtype == DType::int64 && array.shape == Shape({count}),
          "{}: {} of shape {}, expected int64 of shape ({})", file, name_of(array.dtype), array.shape, count);
  const auto values = array.as<std::int64_t>();
  return {values.begin(), values.end()};
}

Query read_query(const Options& options, const data::ImageSet& images) {
  Query query;
  const io::HostArray points = io::read_npy(options.points);
  const std::int64_t d = images.dimension();
  require(points.dtype == DType::float32 && points.shape.rank() >= 2 &&
              points.shape.count_between(1, points.shape.rank()) == d,
          "{}: {} of shape {}, expected float32 of shape (N, ...) with {} numbers a point, as the data have",
          options.points, name_of(points.dtype), points.shape, d);
  require(points.shape[0] > 0, "{}: no points", options.points);
  query.shape = points.shape;
  const std::span<const float> values = points.as<float>();
  const auto width = static_cast<std::size_t>(d);
  query.points.resize(values.size());
  for (std::size_t n = 0; n < static_cast<std::size_t>(query.count()); ++n)
    reorder(values.subspan(n * width, width), std::span(query.points).subspan(n * width, width), images, true);
  for (std::size_t at = 0; at < values.size(); ++at)
    require(std::isfinite(values[at]), "{}: point {} holds a value that is not finite", options.points, at / width);

  query.alpha = read_floats(options.alpha, query.count());
  query.sigma = read_floats(options.sigma, query.count());
  for (std::size_t n = 0; n < query.alpha.size(); ++n) {
    require(std::isfinite(query.alpha[n]) && query.alpha[n] >= 0.0F,
            "{}: alpha of point {} is {}, expected a finite value of at least 0", options.alpha, n, query.alpha[n]);
    require(std::isfinite(query.sigma[n]) && query.sigma[n] > 0.0F,
            "{}: sigma of point {} is {}, expected a finite value above 0", options.sigma, n, query.sigma[n]);
  }
  query.labels = read_integers(options.labels, query.count());
  if (!query.labels.empty() && images.labels.empty())
    throw UsageError(fmt::format("--labels: the data {} have no labels", images.name));
  query.excluded = read_integers(options.excluded, query.count());
  for (std::size_t n = 0; n < query.excluded.size(); ++n)
    require(query.excluded[n] >= -1 && query.excluded[n] < images.count, "{}: row {} of point {}, expected -1 to {}",
            options.excluded, query.excluded[n], n, images.count - 1);
  return query;
}

void evaluate(const Options& options) {
  const Device device = apply(options.compute);
  const data::ImageSet images = data::load_data({.name = options.data.data,
                                                 .resolution = options.data.resolution,
                                                 .classes = {options.data.classes.begin(), options.data.classes.end()},
                                                 .subset = options.data.subset,
                                                 .subset_seed = options.data.subset_seed});
  if (options.mirrored && images.width < 2)
    throw UsageError(fmt::format("--mirrored: the data {} are no images", images.name));
  const Query query = read_query(options, images);
  io::NpzWriter writer(options.out);  // that it can be written, before the work

  const auto d = static_cast<std::size_t>(images.dimension());
  // Points, x0 and score stay in memory; a batch holds double copies of its points and a tile of products.
  require_memory(static_cast<std::int64_t>(2 * query.points.size() * sizeof(float)) +
                     2 * static_cast<std::int64_t>(images.storage->size()) +
                     std::min(options.batch, query.count()) * (static_cast<std::int64_t>(d) * 64 + 65536),
                 "the empirical score");
  const EmpiricalScore empirical(images, device, options.mirrored);
  std::vector<float> x0(query.points.size()), score(query.points.size());
  std::vector<double> trace, r_star, entropy, effective_count;  // float32 would round a large r_star by 1e-4
  std::vector<std::int64_t> nearest;
  Progress progress;
  Progress::Stage stage(progress, "evaluate", query.count());
  for (std::int64_t from = 0; from < query.count(); from += options.batch) {
    if (stop_requested()) stop("nothing was written");
    const auto first = static_cast<std::size_t>(from);
    const auto count = static_cast<std::size_t>(std::min(options.batch, query.count() - from));
    const auto part = [&](const auto& values) {
      return values.empty() ? std::span(values) : std::span(values).subspan(first, count);
    };
    const EmpiricalResult result =
        empirical.evaluate(std::span(query.points).subspan(first * d, count * d), part(query.alpha), part(query.sigma),
                           {.labels = part(query.labels), .excluded = part(query.excluded)});
    for (std::size_t n = 0; n < count; ++n) {
      const auto row = [&](auto& values, std::size_t index) { return std::span(values).subspan(index * d, d); };
      reorder(row(result.x0, n), row(x0, first + n), images, false);
      reorder(row(result.score, n), row(score, first + n), images, false);
    }
    nearest.insert(nearest.end(), result.nearest.begin(), result.nearest.end());
    const auto append = [](std::vector<double>& to, const std::vector<double>& values) {
      to.insert(to.end(), values.begin(), values.end());
    };
    append(trace, result.trace_cov);
    append(r_star, result.r_star);
    append(entropy, result.entropy);
    append(effective_count, result.effective_count);
    stage.advance(static_cast<std::int64_t>(count));
  }
  for (const float value : score)
    require(std::isfinite(value), "{}: a score is above the range of float32; sigma is too small for these points",
            options.points);
  writer.add("x0", x0, query.shape);
  writer.add("score", score, query.shape);
  writer.add("trace_cov", trace, {query.count()});
  writer.add("nearest", nearest, {query.count()});
  writer.add("r_star", r_star, {query.count()});
  writer.add("entropy", entropy, {query.count()});
  writer.add("effective_count", effective_count, {query.count()});
  writer.commit();
  log_info("{}: {} points against {} images of {}", options.out, query.count(), images.count, images.name);
}

}  // namespace
}  // namespace tweedie::experiments

int main(int argc, char** argv) {
  using namespace tweedie::experiments;
  Options options;
  return run_program(
      argc, argv, program, [&](CommandLine& line) { declare(line, options); },
      [&](const CommandLine&) { evaluate(options); });
}
