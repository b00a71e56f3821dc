#include <memory>
#include <vector>

#include "kernels/empirical_score/gather_kernels.cuh"
#include "kernels/matmul/matmul_cuda.h"
#include "kernels/runtime/cuda.h"

namespace tweedie {
namespace {

using namespace empirical_cuda;

constexpr std::string_view name = "evaluate_empirical_score";
constexpr std::int64_t tile_rows = 2048, block_points = 256;  // a tile's products stay in the second-level cache

/// Memory of one call, freed together.
class Memory {
 public:
  explicit Memory(Stream& stream) : stream_(stream) {}
  template <class T>
  T* take(std::int64_t count) {
    blocks_.push_back(
        std::make_unique<Scratch>(stream_, static_cast<std::size_t>(std::max<std::int64_t>(1, count)) * sizeof(T)));
    return blocks_.back()->as<T>();
  }

 private:
  Stream& stream_;
  std::vector<std::unique_ptr<Scratch>> blocks_;
};

/// Both sweeps for a block of points.
class BlockOfPoints {
 public:
  BlockOfPoints(Stream& stream, const EvaluateEmpiricalScore& arguments, const DataSet& data, const Outputs& outputs,
                std::int64_t first, std::int64_t count)
      : stream_(stream), shape_(arguments.points.shape), data_(data), outputs_(outputs), memory_(stream) {
    const Array& lists = arguments.neighbours ? arguments.neighbours : arguments.neighbour_distances;
    const std::int64_t d = data.dimension, neighbours = lists ? lists.shape[1] : 0;
    points_ = {.points = values_of(arguments.points),
               .alpha = values_of(arguments.alpha),
               .sigma = values_of(arguments.sigma),
               .labels = arguments.point_labels ? arguments.point_labels.as<std::int64_t>() : nullptr,
               .excluded = arguments.excluded ? arguments.excluded.as<std::int64_t>() : nullptr,
               .scans = memory_.take<PointScan>(count),
               .gathers = memory_.take<PointGather>(count),
               .accurate = memory_.take<int>(count),
               .queries = memory_.take<float>(count * data.copies * d),
               .top = memory_.take<float>(count * neighbours),
               .near_distance2 = memory_.take<double>(count * neighbours),
               .near_index = memory_.take<std::int64_t>(count * neighbours),
               .moment = memory_.take<double>(count * d),
               .dense_sum = memory_.take<double>(count * d),
               .count = static_cast<int>(count),
               .neighbours = static_cast<int>(neighbours),
               .first = first,
               .wants_posterior = arguments.x0 || arguments.score || arguments.entropy || arguments.effective_count ||
                                  arguments.covariance_trace || arguments.log_sum,
               .wants_shell = arguments.r_star || arguments.r_star_index};
    capacity_ = std::min<std::int64_t>(tile_rows, data.rows);
    tile_ = memory_.take<float>(capacity_ * d);
    norms_ = memory_.take<float>(capacity_);
    products_ = memory_.take<float>(capacity_ * count * data.copies);
    listed_queries_ = memory_.take<float>(count * data.copies * d);
    sums_ = memory_.take<float>(count * data.copies * d);
    list_ = memory_.take<int>(count);
  }

  void run() {
    launch(stream_, {name, shape_, points(), block_size}, &start_kernel, data_, points_);
    for_each_tile(points_.queries, points_.count, [&](std::int64_t first, int width) {
      launch(stream_, {name, shape_, points(), block_size}, &scan_kernel, data_, points_, products_, norms_, first,
             width);
    });
    launch(stream_, {name, shape_, (points() + block_size - 1) / block_size, block_size}, &decide_kernel, data_,
           points_);
    std::vector<int> dense, exact;
    const std::vector<PointScan> scans = read(points_.scans);
    for (int b = 0; b < points_.count; ++b) {
      refuse(scans[b], points_.first + b);
      (scans[b].dense ? dense : exact).push_back(b);
    }
    gather(exact, false);
    gather(dense, true);
    if (dense.empty()) return;
    const std::vector<int> accurate = read(points_.accurate);
    std::erase_if(dense, [&](int b) { return accurate[b] != 0; });
    gather(dense, false);
  }

 private:
  unsigned points() const { return static_cast<unsigned>(points_.count); }

  template <class T>
  std::vector<T> read(const T* of_points) {
    std::vector<T> values(static_cast<std::size_t>(points_.count));
    stream_.copy_to_host(values.data(), of_points, values.size() * sizeof(T));
    return values;
  }

  void refuse(const PointScan& state, std::int64_t b) const {
    switch (state.problem) {
      case Problem::none:
        return;
      case Problem::alpha:
        fail("{}: alpha of point {} is {}, expected a finite value of at least 0", name, b, state.alpha);
      case Problem::sigma:
        fail("{}: sigma of point {} is {}, expected a finite value above 0", name, b, state.sigma);
      case Problem::point:
        fail("{}: point {} holds a value that is not finite, at column {}", name, b, state.column);
      case Problem::excluded:
        fail("{}: excluded row of point {} is {}, expected -1 to {}", name, b, state.excluded, data_.rows - 1);
      case Problem::no_data:
        fail("{}: point {} has no data left: no row of data has its label {}{}", name, b, state.label,
             state.excluded >= 0 ? " but the excluded one" : "");
    }
  }

  /// Calls take(first, width) with each tile's products of `rows` queries (and of their flipped images) at hand.
  template <class Take>
  void for_each_tile(float* queries, std::int64_t rows, Take take) {
    const std::int64_t d = data_.dimension;
    for (std::int64_t first = 0; first < data_.rows; first += capacity_) {
      const std::int64_t width = std::min(capacity_, data_.rows - first);
      launch(stream_, {name, shape_, blocks_for(stream_, width * d), block_size}, &tile_kernel, data_, first,
             static_cast<int>(width), tile_, norms_);
      matmul_float32_cuda(stream_, {.a = {queries, Shape({1, rows * data_.copies, d})},
                                    .b = {tile_, Shape({1, width, d})},
                                    .c = {products_, Shape({1, rows * data_.copies, width})},
                                    .transpose_b = true});
      take(first, static_cast<int>(width));
    }
  }

  void gather(const std::vector<int>& which, bool dense) {
    if (which.empty()) return;
    const int listed = static_cast<int>(which.size());
    const std::int64_t d = data_.dimension;
    stream_.copy_from_host(list_, which.data(), which.size() * sizeof(int));
    const unsigned blocks = static_cast<unsigned>(listed);
    launch(stream_, {name, shape_, blocks, block_size}, &restart_kernel, data_, points_, list_, listed,
           listed_queries_);
    for_each_tile(listed_queries_, listed, [&](std::int64_t first, int width) {
      launch(stream_, {name, shape_, blocks, block_size}, &gather_kernel, data_, points_, list_, listed, products_,
             norms_, first, width, dense);
      if (!dense) return;
      matmul_float32_cuda(stream_, {.a = {products_, Shape({1, listed * data_.copies, width})},
                                    .b = {tile_, Shape({1, width, d})},
                                    .c = {sums_, Shape({1, listed * data_.copies, d})}});
      launch(stream_, {name, shape_, blocks_for(stream_, listed * d), block_size}, &add_dense_kernel, data_, points_,
             list_, listed, sums_);
    });
    launch(stream_, {name, shape_, blocks, block_size}, &finish_kernel, data_, points_, list_, outputs_);
  }

  Stream& stream_;
  Shape shape_;
  DataSet data_;
  Outputs outputs_;
  Memory memory_;
  Points points_;
  std::int64_t capacity_ = 0;
  float *tile_ = nullptr, *norms_ = nullptr, *products_ = nullptr, *listed_queries_ = nullptr, *sums_ = nullptr;
  int* list_ = nullptr;
};

std::int64_t* indices_of(const Array& array) {
  return array ? array.as<std::int64_t>() : nullptr;
}

void evaluate_cuda(Stream& stream, const EvaluateEmpiricalScore& arguments) {
  require(arguments.data.dtype != DType::float64, "{}: data is float64, expected uint8 or float32", name);
  DataSet data = data_set_of(arguments.data, arguments.centre, arguments.squared_norms, arguments.mirrored);
  data.labels = indices_of(arguments.labels);
  const Scratch scale(stream, sizeof(TileScale));
  launch(stream, {name, arguments.data.shape, 1, block_size}, &tile_scale_kernel, data, scale.as<TileScale>());
  data.scale = scale.as<TileScale>();
  const Outputs outputs{.x0 = results_of(arguments.x0),
                        .score = results_of(arguments.score),
                        .neighbour_distances = results_of(arguments.neighbour_distances),
                        .entropy = results_of(arguments.entropy),
                        .effective_count = results_of(arguments.effective_count),
                        .covariance_trace = results_of(arguments.covariance_trace),
                        .r_star = results_of(arguments.r_star),
                        .log_sum = results_of(arguments.log_sum),
                        .neighbours = indices_of(arguments.neighbours),
                        .r_star_index = indices_of(arguments.r_star_index)};
  const std::int64_t batch = arguments.points.shape[0];
  for (std::int64_t first = 0; first < batch; first += block_points)
    BlockOfPoints(stream, arguments, data, outputs, first, std::min(block_points, batch - first)).run();
}

const bool registered = evaluate_empirical_score.implement(DeviceKind::cuda, &evaluate_cuda);

}  // namespace
}  // namespace tweedie
