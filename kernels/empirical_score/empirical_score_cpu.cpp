#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "kernels/empirical_score/posterior.h"
#include "kernels/empirical_score/tile_products.h"
#include "kernels/runtime/parallel.h"

namespace tweedie {
namespace {

using empirical::Candidate;
using empirical::Posterior;
using empirical::Precision;
using empirical::StoredData;

constexpr std::int64_t tile_rows = 2048;
constexpr std::int64_t block_points = 384;

template <class T>
void prepare(const PrepareEmpiricalData& arguments, double unit) {
  const std::int64_t rows = arguments.data.shape[0], dimension = arguments.data.shape[1];
  const T* data = arguments.data.as<T>();
  std::vector<double> mean(static_cast<std::size_t>(dimension));
  // Columns are split over the threads, so that the sums do not depend on their number.
  parallel_for(dimension, 64, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = first; j < last; ++j) mean[j] += static_cast<double>(data[i * dimension + j]);
  });
  for (std::int64_t j = 0; j < dimension; ++j) {
    require(std::isfinite(mean[j]), "prepare_empirical_data: column {} of the data holds a value that is not finite",
            j);
    mean[j] /= static_cast<double>(rows);
  }
  const std::vector<std::int32_t> permutation = empirical::mirror_permutation(arguments.mirrored);
  double* centre = arguments.centre.as<double>();
  for (std::int64_t j = 0; j < dimension; ++j) {
    const double value = permutation.empty() ? mean[j] : 0.5 * (mean[j] + mean[permutation[j]]);
    // v - centre of a byte v has at most 14 bits then: exact in float32.
    centre[j] = sizeof(T) == 1 ? std::round(64.0 * value) / 64.0 : static_cast<double>(static_cast<float>(value));
  }
  double* norms = arguments.squared_norms.as<double>();
  parallel_for(rows, 64, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i)
      norms[i] = unit * unit * empirical::squared_distance(data + i * dimension, centre, 1.0, dimension);
  });
}

void prepare_cpu(Stream&, const PrepareEmpiricalData& arguments) {
  require(arguments.data.dtype != DType::float64, "prepare_empirical_data: data is float64, expected uint8 or float32");
  if (arguments.data.dtype == DType::uint8)
    prepare<std::uint8_t>(arguments, 1.0 / 127.5);
  else
    prepare<float>(arguments, 1.0);
}

double read(const Array& array, std::int64_t at) {
  return array.dtype == DType::float32 ? static_cast<double>(array.as<float>()[at]) : array.as<double>()[at];
}

void write(const Array& array, std::int64_t at, double value) {
  if (!array) return;
  if (array.dtype == DType::float32)
    array.as<float>()[at] = static_cast<float>(value);
  else
    array.as<double>()[at] = value;
}

void write_index(const Array& array, std::int64_t at, std::int64_t value) {
  if (array) array.as<std::int64_t>()[at] = value;
}

void check_points(const EvaluateEmpiricalScore& arguments) {
  const std::int64_t batch = arguments.points.shape[0], dimension = arguments.points.shape[1];
  for (std::int64_t b = 0; b < batch; ++b) {
    const double alpha = read(arguments.alpha, b), sigma = read(arguments.sigma, b);
    require(std::isfinite(alpha) && alpha >= 0.0,
            "evaluate_empirical_score: alpha of point {} is {}, expected a finite value of at least 0", b, alpha);
    require(std::isfinite(sigma) && sigma > 0.0,
            "evaluate_empirical_score: sigma of point {} is {}, expected a finite value above 0", b, sigma);
    for (std::int64_t j = 0; j < dimension; ++j)
      require(std::isfinite(read(arguments.points, b * dimension + j)),
              "evaluate_empirical_score: point {} holds a value that is not finite, at column {}", b, j);
    if (arguments.excluded) {
      const std::int64_t excluded = arguments.excluded.as<std::int64_t>()[b];
      require(excluded >= -1 && excluded < arguments.data.shape[0],
              "evaluate_empirical_score: excluded row of point {} is {}, expected -1 to {}", b, excluded,
              arguments.data.shape[0] - 1);
    }
  }
}

/// Points that see the same data.
struct Group {
  std::vector<std::int64_t> points;
  std::vector<std::int64_t> rows;  // ascending
};

std::vector<Group> group_by_label(const EvaluateEmpiricalScore& arguments) {
  std::map<std::int64_t, Group> groups;
  for (std::int64_t b = 0; b < arguments.points.shape[0]; ++b)
    groups[arguments.point_labels ? arguments.point_labels.as<std::int64_t>()[b] : -1].points.push_back(b);
  const std::int64_t rows = arguments.data.shape[0];
  for (std::int64_t i = 0; arguments.labels && i < rows; ++i)
    if (const auto found = groups.find(arguments.labels.as<std::int64_t>()[i]);
        found != groups.end() && found->first != -1)
      found->second.rows.push_back(i);
  std::vector<Group> list;
  for (auto& [label, group] : groups) {
    if (label == -1) {
      group.rows.resize(static_cast<std::size_t>(rows));
      std::iota(group.rows.begin(), group.rows.end(), 0);
    }
    for (std::int64_t b : group.points) {
      const std::int64_t excluded = arguments.excluded ? arguments.excluded.as<std::int64_t>()[b] : -1;
      const bool excludes = std::binary_search(group.rows.begin(), group.rows.end(), excluded);
      require(group.rows.size() > (excludes ? 1u : 0u),
              "evaluate_empirical_score: point {} has no data left: {} rows of data have its label {}{}", b,
              group.rows.size(), label, excludes ? ", and that one is excluded" : "");
    }
    list.push_back(std::move(group));
  }
  return list;
}

/// One pass over a group's data for a block of its points.
class BlockPass {
 public:
  BlockPass(Stream& stream, const EvaluateEmpiricalScore& arguments, const StoredData& data, const Group& group,
            std::span<const std::int64_t> points, Precision precision)
      : arguments_(arguments),
        data_(data),
        group_(group),
        points_(points),
        tile_capacity_(std::min<std::int64_t>(tile_rows, static_cast<std::int64_t>(group.rows.size()))),
        queries_(stream.allocator(), static_cast<std::int64_t>(points.size()) * data.copies() * data.dimension()) {
    const std::int64_t count = static_cast<std::int64_t>(points.size()), dimension = data.dimension();
    const Array& lists = arguments.neighbours ? arguments.neighbours : arguments.neighbour_distances;
    wanted_ = {.posterior = arguments.x0 || arguments.score || arguments.entropy || arguments.effective_count ||
                            arguments.covariance_trace || arguments.log_sum,
               .shell = arguments.r_star || arguments.r_star_index,
               .neighbours = lists ? lists.shape[1] : 0};
    std::vector<empirical::PointFrame> frames;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t b = points[i];
      frames.push_back(data.frame(arguments.points, b, read(arguments.alpha, b), read(arguments.sigma, b)));
      data.tile_query(frames.back(), queries_.data() + i * dimension,
                      data.copies() == 2 ? queries_.data() + (count + i) * dimension : nullptr);
    }
    products_ =
        empirical::make_tile_products(stream.allocator(), data, queries_.data(), count * data.copies(), tile_capacity_);
    posteriors_.reserve(points.size());
    for (std::int64_t i = 0; i < count; ++i)
      posteriors_.emplace_back(data, std::move(frames[i]), static_cast<std::int64_t>(group.rows.size()) * data.copies(),
                               wanted_, excluded(points[i]), products_->error(i), precision);
  }

  /// Writes the results of the points, but for those returned, whose results float32 sums would spoil.
  std::vector<std::int64_t> run() {
    const std::size_t capacity = static_cast<std::size_t>(tile_capacity_);
    for (std::size_t first = 0; first < group_.rows.size(); first += capacity)
      take_tile(std::span(group_.rows).subspan(first, std::min(capacity, group_.rows.size() - first)));
    std::vector<std::uint8_t> written(points_.size());
    parallel_for(static_cast<std::int64_t>(points_.size()), 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) written[i] = write_results(points_[i], posteriors_[i]);
    });
    std::vector<std::int64_t> left;
    for (std::size_t i = 0; i < points_.size(); ++i)
      if (!written[i]) left.push_back(points_[i]);
    return left;
  }

 private:
  std::int64_t excluded(std::int64_t b) const {
    return arguments_.excluded ? arguments_.excluded.as<std::int64_t>()[b] : -1;
  }

  void take_tile(std::span<const std::int64_t> rows) {
    const std::int64_t count = static_cast<std::int64_t>(points_.size()), copies = data_.copies();
    products_->take_tile(rows);
    std::vector<std::optional<double>> dense(static_cast<std::size_t>(count * copies));
    parallel_for(count, 1, [&](std::int64_t first, std::int64_t last) {
      empirical::RowScratch scratch(products_->width());
      for (std::int64_t i = first; i < last; ++i)
        for (std::int64_t copy = 0; copy < copies; ++copy) {
          const std::int64_t query = copy * count + i;
          dense[query] = posteriors_[i].take_row(*products_, rows, query, copy == 1, scratch);
        }
    });
    // Only the rows with many data of weight go through the second product.
    std::vector<std::int64_t> active, place(dense.size());
    for (std::int64_t row = 0; row < count * copies; ++row) {
      if (!dense[row]) continue;
      place[row] = static_cast<std::int64_t>(active.size());
      active.push_back(row);
    }
    if (active.empty()) return;
    products_->sum_tile(active);
    parallel_for(count, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i)
        for (std::int64_t row = i; row < count * copies; row += count)
          if (dense[row]) posteriors_[i].take_dense_mean(products_->sum(place[row]), row != i, *dense[row]);
    });
  }

  /// False where the posterior must be formed with more precision.
  bool write_results(std::int64_t b, Posterior& posterior) const {
    if (wanted_.posterior && !write_posterior(b, posterior)) return false;
    const auto& frame = posterior.frame();
    const std::int64_t count = wanted_.neighbours;
    if (count > 0) {
      const std::vector<Candidate> nearest = frame.alpha > 0.0 ? posterior.nearest() : first_data(b, count, frame);
      for (std::int64_t k = 0; k < count; ++k) {
        const bool exists = k < static_cast<std::int64_t>(nearest.size());
        write_index(arguments_.neighbours, b * count + k, exists ? nearest[k].index : -1);
        write(arguments_.neighbour_distances, b * count + k,
              exists ? std::sqrt(nearest[k].squared_distance) : std::numeric_limits<double>::infinity());
      }
    }
    if (wanted_.shell) {
      const Candidate shell = frame.alpha > 0.0 ? posterior.shell() : first_data(b, 1, frame).front();
      const double radius = frame.sigma * std::sqrt(static_cast<double>(data_.dimension()));
      write(arguments_.r_star, b, std::sqrt(shell.squared_distance) / radius);
      write_index(arguments_.r_star_index, b, shell.index);
    }
    return true;
  }

  bool write_posterior(std::int64_t b, Posterior& posterior) const {
    const empirical::PosteriorSummary summary = posterior.summary();
    if (!summary.accurate) return false;
    const std::int64_t dimension = data_.dimension();
    const auto& frame = posterior.frame();
    for (std::int64_t j = 0; j < dimension; ++j) {
      write(arguments_.x0, b * dimension + j, summary.x0[j]);
      write(arguments_.score, b * dimension + j,
            (frame.alpha * summary.x0[j] - frame.point[j]) / (frame.sigma * frame.sigma));
    }
    write(arguments_.entropy, b, summary.entropy);
    write(arguments_.effective_count, b, std::exp(summary.entropy));
    write(arguments_.covariance_trace, b, summary.covariance_trace);
    write(arguments_.log_sum, b, summary.log_sum);
    return true;
  }

  /// At alpha = 0 all data are equally near: those of lowest index.
  std::vector<Candidate> first_data(std::int64_t b, std::int64_t wanted, const empirical::PointFrame& frame) const {
    std::vector<Candidate> list;
    for (std::int64_t copy = 0; copy < data_.copies(); ++copy)
      for (std::int64_t row : group_.rows) {
        if (static_cast<std::int64_t>(list.size()) == wanted) return list;
        if (row == excluded(b)) continue;
        const std::int64_t index = row + copy * data_.rows();
        list.push_back({index, 0.0, 0.0, data_.squared_distance(frame, index)});
      }
    return list;
  }

  const EvaluateEmpiricalScore& arguments_;
  const StoredData& data_;
  const Group& group_;
  std::span<const std::int64_t> points_;
  std::int64_t tile_capacity_;
  Buffer<float> queries_;
  std::unique_ptr<empirical::TileProducts> products_;
  empirical::Wanted wanted_;
  std::vector<Posterior> posteriors_;
};

void evaluate_cpu(Stream& stream, const EvaluateEmpiricalScore& arguments) {
  require(arguments.data.dtype != DType::float64,
          "evaluate_empirical_score: data is float64, expected uint8 or float32");
  check_points(arguments);
  const StoredData data(arguments.data, arguments.centre, arguments.squared_norms, arguments.mirrored);
  for (const Group& group : group_by_label(arguments)) {
    const std::int64_t count = static_cast<std::int64_t>(group.points.size());
    const std::int64_t blocks = (count + block_points - 1) / block_points;
    for (std::int64_t block = 0; block < blocks; ++block) {
      const std::int64_t first = count * block / blocks, last = count * (block + 1) / blocks;
      const auto points = std::span(group.points).subspan(first, last - first);
      const auto left = BlockPass(stream, arguments, data, group, points, Precision::mixed).run();
      if (!left.empty()) BlockPass(stream, arguments, data, group, left, Precision::exact).run();
    }
  }
}

}  // namespace

constinit Operation<PrepareEmpiricalData> prepare_empirical_data{"prepare_empirical_data"};
constinit Operation<EvaluateEmpiricalScore> evaluate_empirical_score{"evaluate_empirical_score"};
static const bool registered = prepare_empirical_data.implement(DeviceKind::cpu, &prepare_cpu) &&
                               evaluate_empirical_score.implement(DeviceKind::cpu, &evaluate_cpu);

}  // namespace tweedie
