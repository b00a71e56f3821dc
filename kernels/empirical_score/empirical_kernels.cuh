#pragma once

#include <cfloat>
#include <cmath>

#include "kernels/empirical_score/empirical_data.cuh"

// Two sweeps over the data in tiles. Of a point and a tile both see h_i = q . y_i - alpha/2 |y_i|^2 (float32, tile
// units): |z - alpha x_i|^2 = |q|^2 - 2 alpha h_i, so that a larger h is a nearer datum and log weights are rate h +
// constant. An error bound of h decides what float32 cannot tell apart.
//   scan    finds the largest h, the k largest, those on either side of the shell, and the sum of weights;
//   gather  forms in double, from differences, the distances of all data that may be among the nearest or next to the
//           shell or that have weight. Where a point has many data of weight and the error of h is small enough, they
//           are left to a second matrix product ("dense"), but for those that hold more than a share of the weight:
//           errors of single weights are independent, so those of the rest reach the mean as error * sqrt(share).
// The finish says where float32 spoiled the score or tr C; the gather is repeated there with nothing dense.
namespace tweedie::empirical_cuda {

enum class Problem : int { none, alpha, sigma, point, excluded, no_data };

/// What the scan of a point starts from and finds.
struct PointScan {
  double alpha, sigma;
  double centre_distance2, tile_norm, rate, margin, log_margin, error, shell_error, share, mean_error, shell_target;
  std::int64_t label, excluded;
  std::int64_t column;  // of the problem
  Problem problem;
  float best, below, above;
  // of the decision
  float limit;  // the largest weight that may be dense
  int dense;
  // found
  double weight_sum;  // of exp(rate (h - best))
  std::int64_t best_index, within, seen;
};

/// What a gather finds, weights relative to exp(rate best).
struct PointGather {
  double weight, log_weight, spread, dense_weight, dense_log_weight, dense_norm;
  double shell_gap, shell_distance2;
  std::int64_t shell_index;
};

struct Points {
  Values points, alpha, sigma;
  const std::int64_t* labels;
  const std::int64_t* excluded;
  PointScan* scans;
  PointGather* gathers;
  int* accurate;           // whether float32 served
  float* queries;          // (copies, count, d)
  float* top;              // (count, k): the largest h, descending
  double* near_distance2;  // (count, k), ascending
  std::int64_t* near_index;
  double* moment;     // (count, d): sum of w (v - reference) of single data, reference being the datum of largest h
  double* dense_sum;  // (count, d): of w y
  int count, neighbours;
  std::int64_t first;  // the first point's row
  bool wants_posterior, wants_shell;
};

constexpr double unit_roundoff = 0x1p-24;
// As for the CPU (posterior.cpp): the typical rounding error of q . y in units of sqrt(d) 2^-24 |q||y|, what errors of
// weights may do to the mean, the error of a float32 sum of weights times y.
constexpr double typical_error = 0.03, weight_tolerance = 3e-6, sum_error = 3e-7;
constexpr double smallest_dense_share = 1e-4, most_dense_share = 1.0 / 16.0;
constexpr int dense_gain = 24;  // a datum costs this much less in the matrix product
constexpr int few_data = 64;
constexpr float smallest_log_weight = -80.0f;

__device__ inline float to_float(double value) {
  return static_cast<float>(fmin(fmax(value, -static_cast<double>(FLT_MAX)), static_cast<double>(FLT_MAX)));
}

/// One block: the power of two of the tiles.
__global__ void __launch_bounds__(block_size) tile_scale_kernel(const DataSet data, TileScale* scale) {
  __shared__ double shared[32];
  double largest = 0.0;
  for (std::int64_t i = threadIdx.x; i < data.rows; i += block_size) largest = fmax(largest, data.squared_norms[i]);
  largest = sqrt(block_reduce(largest, 0.0, shared, [](double a, double b) { return fmax(a, b); })) / data.unit;
  int exponent = 0;
  if (largest > 0.0) frexp(largest, &exponent);
  exponent = min(max(exponent, -120), 120);
  if (threadIdx.x == 0) *scale = {ldexp(data.unit, exponent), ldexpf(1.0f, -exponent)};
}

/// Rows first ... first + count - 1 in tile units, and their |y|^2.
__global__ void __launch_bounds__(block_size)
    tile_kernel(const DataSet data, std::int64_t first, int count, float* tile, float* norms) {
  const TileScale scale = *data.scale;
  for (std::int64_t i = grid_thread(); i < static_cast<std::int64_t>(count) * data.dimension; i += grid_threads()) {
    const std::int64_t row = i / data.dimension;
    const int column = static_cast<int>(i - row * data.dimension);
    tile[i] = (data.stored(first + row, column) - static_cast<float>(data.centre[column])) * scale.factor;
    if (column == 0) norms[row] = static_cast<float>(data.squared_norms[first + row] / (scale.unit * scale.unit));
  }
}

/// A block a point: what its scan starts from, its queries, or what is wrong with it.
__global__ void __launch_bounds__(block_size) start_kernel(const DataSet data, const Points points) {
  __shared__ double shared[32];
  const int b = blockIdx.x, d = data.dimension;
  const std::int64_t row = points.first + b;
  const TileScale scale = *data.scale;
  PointScan state = {};
  state.alpha = points.alpha[row];
  state.sigma = points.sigma[row];
  state.label = points.labels != nullptr ? points.labels[row] : -1;
  state.excluded = points.excluded != nullptr ? points.excluded[row] : -1;
  int bad_column = d;
  double distance2 = 0.0;
  for (int j = threadIdx.x; j < d; j += block_size) {
    const double z = points.points[row * d + j];
    if (!isfinite(z)) bad_column = min(bad_column, j);
    const double difference = z - state.alpha * data.centre_value(j);
    distance2 = fma(difference, difference, distance2);
    points.queries[static_cast<std::int64_t>(b) * d + j] =
        state.alpha == 0.0 ? 0.0f : static_cast<float>(difference / scale.unit);
  }
  state.centre_distance2 = block_sum(distance2, shared);
  bad_column = static_cast<int>(block_reduce(static_cast<double>(bad_column), static_cast<double>(d), shared,
                                             [](double a, double c) { return fmin(a, c); }));
  __syncthreads();
  // The centre is its own flipped image, so that <flip(y), q> = <y, flip(q)>: one tile serves both.
  if (data.copies == 2)
    for (int j = threadIdx.x; j < d; j += block_size)
      points.queries[(static_cast<std::int64_t>(points.count) + b) * d + j] =
          points.queries[static_cast<std::int64_t>(b) * d + data.mirrored(j)];
#pragma unroll 1
  for (int k = threadIdx.x; k < points.neighbours; k += block_size) points.top[b * points.neighbours + k] = -FLT_MAX;
  if (threadIdx.x != 0) return;

  if (!(isfinite(state.alpha) && state.alpha >= 0.0))
    state.problem = Problem::alpha;
  else if (!(isfinite(state.sigma) && state.sigma > 0.0))
    state.problem = Problem::sigma;
  else if (bad_column < d)
    state.problem = Problem::point;
  else if (state.excluded < -1 || state.excluded >= data.rows)
    state.problem = Problem::excluded;
  state.column = bad_column;
  const double sigma = state.sigma / scale.unit, root = sqrt(static_cast<double>(d));
  state.tile_norm = sqrt(state.centre_distance2) / scale.unit;
  state.rate = state.alpha / (sigma * sigma);
  if (state.alpha > 0.0)
    state.shell_target =
        (state.tile_norm * state.tile_norm - sigma * sigma * static_cast<double>(d)) / (2.0 * state.alpha);
  // The weight left out, times the largest squared distance, stays below 1e-10 sigma^2: in tr C that is 1e-10/sigma^2.
  state.log_margin =
      log(static_cast<double>(data.rows * data.copies)) + log(1e10 * 4.0 * fmax(1.0, 1.0 / (sigma * sigma)));
  state.margin = state.log_margin / state.rate;  // infinite at alpha = 0
  state.error = unit_roundoff * (static_cast<double>(d + 8) * state.tile_norm + 2.0 * state.alpha);
  state.shell_error = state.error + 2.0 * unit_roundoff * fmin(fabs(state.shell_target), state.tile_norm + state.alpha);
  const double error = typical_error * root * unit_roundoff * state.tile_norm * state.rate;
  const double share =
      error > 0.0 ? fmin(most_dense_share, (weight_tolerance / error) * (weight_tolerance / error)) : most_dense_share;
  state.mean_error = error * sqrt(share);
  // Below this sigma the score would need more of x0 than float32 sums of |y| <= 1 hold.
  const bool may_be_dense = sigma * root >= 0.25 * state.alpha && share >= smallest_dense_share;
  state.share = may_be_dense ? share : 0.0;
  state.best = -FLT_MAX;
  state.below = -FLT_MAX;
  state.above = FLT_MAX;
  points.scans[b] = state;
}

/// A tile's row of one point: products q . y turned into h, and which data the point sees.
struct TileRow {
  const float* products;  // (width)
  const float* norms;
  std::int64_t first;    // the tile's first row of data
  std::int64_t flipped;  // added to indices: rows of data for flipped images
  const std::int64_t* labels;
  float half_alpha;
  std::int64_t label, excluded;
  __device__ bool sees(int i) const { return first + i != excluded && (label == -1 || labels[first + i] == label); }
  __device__ float h(int i) const { return fmaf(-half_alpha, norms[i], products[i]); }
};

__device__ inline TileRow tile_row(const DataSet& data, const PointScan& state, const float* products, int row,
                                   int width, const float* norms, std::int64_t first, int copy) {
  return {products + static_cast<std::int64_t>(row) * width,
          norms,
          first,
          copy * data.rows,
          data.labels,
          to_float(state.alpha / 2.0),
          data.labels != nullptr ? state.label : -1,
          state.excluded};
}

struct Largest {
  float h;
  int at;
};
/// The larger h, the lower place among equals; in every thread.
__device__ inline Largest block_largest(Largest value, float* shared_h, int* shared_at) {
  const auto larger = [](Largest a, Largest b) { return a.h > b.h || (a.h == b.h && a.at < b.at) ? a : b; };
  const auto in_warp = [&](Largest v) {
    for (int distance = 16; distance > 0; distance /= 2)
      v = larger(v, {__shfl_xor_sync(all_lanes, v.h, distance), __shfl_xor_sync(all_lanes, v.at, distance)});
    return v;
  };
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  value = in_warp(value);
  if (lane == 0) shared_h[warp] = value.h, shared_at[warp] = value.at;
  __syncthreads();
  value = in_warp(lane < block_size / 32 ? Largest{shared_h[lane], shared_at[lane]} : Largest{-FLT_MAX, 1 << 30});
  __syncthreads();
  return value;
}

/// A block a point takes a tile of products (copies, count, width) into what the scan finds.
__global__ void __launch_bounds__(block_size, 4)
    scan_kernel(const DataSet data, const Points points, const float* products, const float* norms, std::int64_t first,
                int width) {
  __shared__ float shared_h[32];
  __shared__ int shared_at[32];
  __shared__ double shared[32];
  const int b = blockIdx.x;
  PointScan& state = points.scans[b];
  const PointScan before = state;
  if (before.problem != Problem::none) return;
  for (int copy = 0; copy < data.copies; ++copy) {
    const TileRow row = tile_row(data, before, products, copy * points.count + b, width, norms, first, copy);
    const float target = to_float(before.shell_target), old = state.best;
    Largest largest{-FLT_MAX, 1 << 30};
    float below = -FLT_MAX, above = FLT_MAX;
    double seen = 0.0;
    for (int i = threadIdx.x; i < width; i += block_size) {
      if (!row.sees(i)) continue;
      const float h = row.h(i);
      seen += 1.0;
      if (h > largest.h) largest = {h, i};
      if (h > target)
        above = fminf(above, h);
      else
        below = fmaxf(below, h);
    }
    largest = block_largest(largest, shared_h, shared_at);
    below = block_reduce(below, -FLT_MAX, shared_h, [](float a, float c) { return fmaxf(a, c); });
    above = block_reduce(above, FLT_MAX, shared_h, [](float a, float c) { return fminf(a, c); });
    seen = block_sum(seen, shared);
    if (seen == 0.0) continue;
    const float best = fmaxf(old, largest.h);
    const float rate = to_float(before.rate), low = to_float(best - before.margin - 2.0 * before.error);
    double weight = 0.0, within = 0.0;
    for (int i = threadIdx.x; i < width; i += block_size) {
      if (!row.sees(i)) continue;
      const float h = row.h(i), log_weight = (h - best) * rate;
      if (log_weight > smallest_log_weight || before.rate == 0.0) weight += static_cast<double>(expf(log_weight));
      if (h >= low) within += 1.0;
    }
    weight = block_sum(weight, shared);
    within = block_sum(within, shared);
    // The k largest h: one after the other, as long as they are among the k largest so far.
    float* top = points.top + static_cast<std::int64_t>(b) * points.neighbours;
    Largest next = largest;
    for (int taken = 0; taken < points.neighbours; ++taken) {
      __syncthreads();
      if (next.h <= top[points.neighbours - 1]) break;
      __syncthreads();
      if (threadIdx.x == 0) {
        int place = points.neighbours - 1;
        for (; place > 0 && top[place - 1] < next.h; --place) top[place] = top[place - 1];
        top[place] = next.h;
      }
      const Largest last = next;
      next = {-FLT_MAX, 1 << 30};
      for (int i = threadIdx.x; i < width; i += block_size) {
        if (!row.sees(i)) continue;
        const float h = row.h(i);
        if ((h < last.h || (h == last.h && i > last.at)) && h > next.h) next = {h, i};
      }
      next = block_largest(next, shared_h, shared_at);
    }
    if (threadIdx.x == 0) {
      const double factor = state.seen == 0 ? 0.0 : exp(before.rate * (static_cast<double>(old) - best));
      state.weight_sum = state.weight_sum * factor + weight;
      if (largest.h > old || state.seen == 0) state.best_index = row.first + largest.at + row.flipped;
      state.best = best;
      state.below = fmaxf(state.below, below);
      state.above = fminf(state.above, above);
      state.within += static_cast<std::int64_t>(within);
      state.seen += static_cast<std::int64_t>(seen);
    }
    __syncthreads();
  }
}

/// A thread a point, after the scan: how its gather is done, and what is wrong.
__global__ void __launch_bounds__(block_size) decide_kernel(const DataSet data, const Points points) {
  const std::int64_t b = grid_thread();
  if (b >= points.count) return;
  PointScan& state = points.scans[b];
  if (state.problem == Problem::none && state.seen == 0) state.problem = Problem::no_data;
  const std::int64_t all = data.rows * data.copies;
  state.limit = to_float(state.share * state.weight_sum);
  state.dense = points.wants_posterior && state.share > 0.0 && all > few_data && state.within * dense_gain > all;
}

/// A block a listed point: its gather starts from nothing.
__global__ void __launch_bounds__(block_size)
    restart_kernel(const DataSet data, const Points points, const int* list, int listed, float* queries) {
  const int b = list[blockIdx.x], d = data.dimension;
  for (int j = threadIdx.x; j < d; j += block_size) {
    const std::int64_t at = static_cast<std::int64_t>(b) * d + j;
    points.moment[at] = 0.0;
    points.dense_sum[at] = 0.0;
    for (int copy = 0; copy < data.copies; ++copy)
      queries[(static_cast<std::int64_t>(copy) * listed + blockIdx.x) * d + j] =
          points.queries[(static_cast<std::int64_t>(copy) * points.count + b) * d + j];
  }
#pragma unroll 1
  for (int k = threadIdx.x; k < points.neighbours; k += block_size) {
    points.near_distance2[b * points.neighbours + k] = INFINITY;
    points.near_index[b * points.neighbours + k] = -1;
  }
  if (threadIdx.x != 0) return;
  PointGather& gather = points.gathers[b];
  gather.weight = gather.log_weight = gather.spread = 0.0;
  gather.dense_weight = gather.dense_log_weight = gather.dense_norm = 0.0;
  gather.shell_gap = INFINITY;
}

}  // namespace tweedie::empirical_cuda
