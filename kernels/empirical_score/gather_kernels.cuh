#pragma once

#include "kernels/empirical_score/empirical_kernels.cuh"

namespace tweedie::empirical_cuda {

/// What a block takes into double of one tile and point: up to block_size data, in the order of their places.
struct Batch {
  std::int64_t index[block_size];
  double distance2[block_size];
  double weight[block_size];
  std::uint8_t wants[block_size];
  int warp_count[block_size / 32];
  int count;
};
enum Want : unsigned { near = 1, shell = 2, weighed = 4 };

/// Puts the data of the threads that want something into the batch, in order of threads.
__device__ inline void fill_batch(Batch& batch, unsigned wants, std::int64_t index) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const unsigned voted = __ballot_sync(all_lanes, wants != 0);
  if (lane == 0) batch.warp_count[warp] = __popc(voted);
  __syncthreads();
  int before = 0, total = 0;
  for (int w = 0; w < block_size / 32; ++w) {
    if (w < warp) before += batch.warp_count[w];
    total += batch.warp_count[w];
  }
  if (wants != 0) {
    const int place = before + __popc(voted & ((1u << lane) - 1u));
    batch.index[place] = index;
    batch.wants[place] = static_cast<std::uint8_t>(wants);
  }
  if (threadIdx.x == 0) batch.count = total;
  __syncthreads();
}

/// One thread: keeps the nearest, the lower index among equals.
__device__ inline void insert_near(const Points& points, int b, double distance2, std::int64_t index) {
  double* distances = points.near_distance2 + static_cast<std::int64_t>(b) * points.neighbours;
  std::int64_t* indices = points.near_index + static_cast<std::int64_t>(b) * points.neighbours;
  const auto after = [&](int k) {
    return distances[k] > distance2 || (distances[k] == distance2 && (indices[k] > index || indices[k] < 0));
  };
  int place = points.neighbours;
  while (place > 0 && after(place - 1)) --place;
  if (place == points.neighbours) return;
  for (int k = points.neighbours - 1; k > place; --k) {
    distances[k] = distances[k - 1];
    indices[k] = indices[k - 1];
  }
  distances[place] = distance2;
  indices[place] = index;
}

/// One thread: keeps the datum next to the shell.
__device__ inline void insert_shell(PointGather& gather, double shell, double distance2, std::int64_t index) {
  const double gap = fabs(sqrt(distance2) / shell - 1.0);
  if (gap > gather.shell_gap || (gap == gather.shell_gap && index > gather.shell_index)) return;
  gather.shell_gap = gap;
  gather.shell_distance2 = distance2;
  gather.shell_index = index;
}

/// A block a listed point takes a tile of products (copies, listed, width). Where `dense`, the products are overwritten
/// with the weights that the second matrix product sums.
__global__ void __launch_bounds__(block_size, 3)
    gather_kernel(const DataSet data, const Points points, const int* list, int listed, float* products,
                  const float* norms, std::int64_t first, int width, bool dense) {
  __shared__ Batch batch;
  __shared__ double shared[32];
  const int b = list[blockIdx.x], d = data.dimension, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  PointGather& gather = points.gathers[b];
  const PointScan given = points.scans[b];
  const double rate = given.rate, best = given.best, log_scale = rate * best;
  const float float_rate = to_float(rate), cut = to_float(best - given.margin - 2.0 * given.error);
  const float shell_low = to_float(given.below - 4.0 * given.shell_error);
  const float shell_high = to_float(given.above + 4.0 * given.shell_error);
  const float near_cut =
      points.neighbours > 0 ? to_float(points.top[(b + 1) * points.neighbours - 1] - 2.0 * given.error) : FLT_MAX;
  const double radius = given.sigma * sqrt(static_cast<double>(d)), step = given.alpha * data.unit;
  double weight = 0.0, log_weight = 0.0, spread = 0.0, dense_weight = 0.0, dense_log_weight = 0.0, dense_norm = 0.0;

  for (int copy = 0; copy < data.copies; ++copy) {
    const int product_row = copy * listed + blockIdx.x;
    const TileRow row = tile_row(data, given, products, product_row, width, norms, first, copy);
    for (int start = 0; start < width; start += block_size) {
      const int i = start + threadIdx.x;
      unsigned wants = 0;
      if (i < width) {
        const bool sees = row.sees(i);
        const float h = row.h(i);
        float dense_share = 0.0f;
        if (sees) {
          if (points.neighbours > 0 && h >= near_cut) wants |= near;
          if (points.wants_shell && h >= shell_low && h <= shell_high) wants |= shell;
          if (points.wants_posterior && !dense && h >= cut) wants |= weighed;
          if (dense) {
            const float logarithm = (h - static_cast<float>(best)) * float_rate;
            const float p = logarithm > smallest_log_weight ? expf(logarithm) : 0.0f;
            if (p > given.limit) {
              wants |= weighed;
            } else {
              dense_share = p;
              dense_weight += static_cast<double>(p);
              dense_log_weight += static_cast<double>(p) * static_cast<double>(logarithm);
              dense_norm += static_cast<double>(p) * static_cast<double>(norms[i]);
            }
          }
        }
        if (dense) products[static_cast<std::int64_t>(product_row) * width + i] = dense_share;
      }
      fill_batch(batch, wants, first + i + row.flipped);
      // Distances: a warp a datum.
      for (int item = warp; item < batch.count; item += block_size / 32) {
        const std::int64_t index = batch.index[item];
        double sum = 0.0;
        for (int j = lane; j < d; j += 32) {
          const double origin = points.points[(points.first + b) * d + j] - given.alpha * data.offset;
          const double difference = fma(-step, data.value(index, j), origin);
          sum = fma(difference, difference, sum);
        }
        sum = warp_sum(sum);
        if (lane == 0) batch.distance2[item] = sum;
      }
      __syncthreads();
      if (threadIdx.x < batch.count) {
        double w = 0.0;
        if (batch.wants[threadIdx.x] & weighed) {
          const double logarithm = given.alpha == 0.0 ? 0.0
                                                      : (given.centre_distance2 - batch.distance2[threadIdx.x]) /
                                                                (2.0 * given.sigma * given.sigma) -
                                                            log_scale;
          if (logarithm >= -given.log_margin) {
            w = exp(logarithm);
            weight += w;
            log_weight += w * logarithm;
          }
        }
        batch.weight[threadIdx.x] = w;
      }
      if (threadIdx.x == 0)
        for (int item = 0; item < batch.count; ++item) {
          if (batch.wants[item] & near) insert_near(points, b, batch.distance2[item], batch.index[item]);
          if (batch.wants[item] & shell) insert_shell(gather, radius, batch.distance2[item], batch.index[item]);
        }
      __syncthreads();
      // Moments: a thread a column.
      if (points.wants_posterior && batch.count > 0)
        for (int j = threadIdx.x; j < d; j += block_size) {
          const double reference = data.value(given.best_index, j);
          double* moment = points.moment + static_cast<std::int64_t>(b) * d + j;
          double sum = *moment;
          for (int item = 0; item < batch.count; ++item) {
            const double w = batch.weight[item];
            if (w == 0.0) continue;
            const double difference = data.value(batch.index[item], j) - reference;
            sum = fma(w, difference, sum);
            spread = fma(w * difference, difference, spread);
          }
          *moment = sum;
        }
      __syncthreads();
    }
  }
  weight = block_sum(weight, shared);
  log_weight = block_sum(log_weight, shared);
  spread = block_sum(spread, shared);
  dense_weight = block_sum(dense_weight, shared);
  dense_log_weight = block_sum(dense_log_weight, shared);
  dense_norm = block_sum(dense_norm, shared);
  if (threadIdx.x != 0) return;
  gather.weight += weight;
  gather.log_weight += log_weight;
  gather.spread += spread;
  gather.dense_weight += dense_weight;
  gather.dense_log_weight += dense_log_weight;
  gather.dense_norm += dense_norm;
}

/// Adds a tile's sums of w y (copies, listed, d) in double, flipped images to the columns that they are of.
__global__ void __launch_bounds__(block_size)
    add_dense_kernel(const DataSet data, const Points points, const int* list, int listed, const float* sums) {
  const int d = data.dimension;
  for (std::int64_t i = grid_thread(); i < static_cast<std::int64_t>(listed) * d; i += grid_threads()) {
    const int place = static_cast<int>(i / d), j = static_cast<int>(i % d);
    double value = static_cast<double>(sums[i]);
    if (data.copies == 2)
      value += static_cast<double>(sums[(static_cast<std::int64_t>(listed) + place) * d + data.mirrored(j)]);
    points.dense_sum[static_cast<std::int64_t>(list[place]) * d + j] += value;
  }
}

struct Outputs {
  Results x0, score, neighbour_distances, entropy, effective_count, covariance_trace, r_star, log_sum;
  std::int64_t* neighbours;
  std::int64_t* r_star_index;
};

/// The posterior's part of the finish; false where float32 sums spoiled it.
__device__ inline bool finish_posterior(const DataSet& data, const Points& points, const Outputs& outputs, int b,
                                        double* shared) {
  const PointScan& point = points.scans[b];
  const PointGather& gather = points.gathers[b];
  const int d = data.dimension;
  const std::int64_t row = points.first + b;
  const double* moment = points.moment + static_cast<std::int64_t>(b) * d;
  const double* sums = points.dense_sum + static_cast<std::int64_t>(b) * d;
  const double length = data.scale->unit / data.unit;  // of a tile unit, in stored units
  const double total = gather.weight + gather.dense_weight;
  const auto exact_mean = [&](int j) {
    return gather.weight > 0.0 ? data.value(point.best_index, j) + moment[j] / gather.weight : 0.0;
  };
  const auto dense_mean = [&](int j) {  // in tile units, from the centre
    return gather.dense_weight > 0.0 ? sums[j] / gather.dense_weight : 0.0;
  };
  const auto mean = [&](int j) {  // in stored units
    const double centred = static_cast<double>(static_cast<float>(data.centre[j])) + length * dense_mean(j);
    if (gather.dense_weight == 0.0) return exact_mean(j);
    if (gather.weight == 0.0) return centred;
    const double exact = exact_mean(j);
    return exact + (centred - exact) * (gather.dense_weight / total);
  };
  double moved = 0.0, offset = 0.0, apart = 0.0, residual = 0.0;  // squared norms
  for (int j = threadIdx.x; j < d; j += block_size) {
    const double shift = gather.weight > 0.0 ? moment[j] / gather.weight : 0.0;
    const double dense = length * dense_mean(j);
    const double gap = static_cast<double>(static_cast<float>(data.centre[j])) + dense - exact_mean(j);
    const double x0 = data.offset + data.unit * mean(j), z = points.points[row * d + j];
    moved = fma(shift, shift, moved);
    offset = fma(dense, dense, offset);
    apart = fma(gap, gap, apart);
    const double rest = point.alpha * x0 - z;
    residual = fma(rest, rest, residual);
    outputs.x0.set(row * d + j, x0);
    outputs.score.set(row * d + j, rest / (point.sigma * point.sigma));
  }
  moved = block_sum(moved, shared);
  offset = block_sum(offset, shared);
  apart = block_sum(apart, shared);
  residual = block_sum(residual, shared);
  const double variance = point.sigma * point.sigma;
  const double to_trace = point.alpha * point.alpha / (variance * variance) * data.unit * data.unit;
  const double exact_spread = fmax(0.0, gather.spread - gather.weight * moved);
  const double dense_spread = fmax(0.0, gather.dense_norm * length * length - gather.dense_weight * offset);
  double spread = exact_spread + dense_spread;
  if (gather.weight > 0.0 && gather.dense_weight > 0.0) spread += apart * (gather.weight * gather.dense_weight / total);
  const double entropy = fmax(0.0, log(total) - (gather.log_weight + gather.dense_log_weight) / total);
  const double trace = to_trace * spread / total;
  if (threadIdx.x == 0) {
    outputs.entropy.set(row, entropy);
    outputs.effective_count.set(row, exp(entropy));
    outputs.covariance_trace.set(row, trace);
    outputs.log_sum.set(row, point.rate * point.best + log(total) - point.centre_distance2 / (2.0 * variance));
  }
  if (gather.dense_weight == 0.0) return true;
  const double share = gather.dense_weight / total, each = dense_spread / gather.dense_weight;
  const double mean_error =
      data.unit * (share * sum_error * sqrt(offset + each) + sqrt(share) * point.mean_error * sqrt(each));
  const double trace_error = to_trace * share * 2.0 * sum_error * (offset + each);
  return point.alpha * mean_error <= 1e-5 * sqrt(residual) && trace_error <= fmax(3e-4 * trace, 3e-10 / variance);
}

/// A block a listed point writes its results, and whether they are accurate.
__global__ void __launch_bounds__(block_size, 3)
    finish_kernel(const DataSet data, const Points points, const int* list, const Outputs outputs) {
  __shared__ double shared[32];
  const int b = list[blockIdx.x];
  const std::int64_t row = points.first + b;
  const bool accurate = !points.wants_posterior || finish_posterior(data, points, outputs, b, shared);
  for (int k = threadIdx.x; k < points.neighbours; k += block_size) {
    const std::int64_t from = static_cast<std::int64_t>(b) * points.neighbours + k, to = row * points.neighbours + k;
    if (outputs.neighbours != nullptr) outputs.neighbours[to] = points.near_index[from];
    outputs.neighbour_distances.set(to, sqrt(points.near_distance2[from]));
  }
  if (threadIdx.x != 0) return;
  points.accurate[b] = accurate;
  if (!points.wants_shell) return;
  const PointGather& gather = points.gathers[b];
  const double radius = points.scans[b].sigma * sqrt(static_cast<double>(data.dimension));
  outputs.r_star.set(row, sqrt(gather.shell_distance2) / radius);
  if (outputs.r_star_index != nullptr) outputs.r_star_index[row] = gather.shell_index;
}

}  // namespace tweedie::empirical_cuda
