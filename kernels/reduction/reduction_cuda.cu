#include <algorithm>
#include <bit>

#include "kernels/reduction/reduction_cuda.h"
#include "kernels/runtime/values.cuh"

namespace tweedie {
namespace {

/// How x (outer, reduced, inner) is cut, by its shape alone, so that the sums do not depend on the device. A block of
/// block_threads sums rows [piece rows_of_piece, ...) of `lanes` packs of columns; the pieces' sums are then added.
struct ReducePlan {
  std::int64_t outer, reduced, inner;
  int lanes = 1;  // packs of columns a block takes, a power of two up to 32; the rest of the block are rows
  std::int64_t tiles = 1, pieces = 1, rows_of_piece = 1;
};

ReducePlan plan_reduce(const Shape& shape, int width) {
  ReducePlan plan{shape[0], shape[1], shape[2]};
  const std::int64_t packs = plan.inner / width;
  plan.lanes = static_cast<int>(std::min<std::uint64_t>(32, std::bit_ceil(static_cast<std::uint64_t>(packs))));
  plan.tiles = (packs + plan.lanes - 1) / plan.lanes;
  constexpr std::int64_t enough_blocks = 512, rows_worth_a_thread = 16;
  const std::int64_t rows_worth_a_block = rows_worth_a_thread * block_threads / plan.lanes;
  const std::int64_t most_pieces = std::max<std::int64_t>(1, plan.reduced / rows_worth_a_block);
  plan.pieces = std::clamp<std::int64_t>(enough_blocks / (plan.outer * plan.tiles), 1, most_pieces);
  plan.rows_of_piece = (plan.reduced + plan.pieces - 1) / plan.pieces;
  return plan;
}

template <class Y>
__device__ void put(Y* y, std::int64_t at, double sum, double scale, bool accumulate) {
  const double before = accumulate ? static_cast<double>(static_cast<float>(y[at])) : 0.0;
  store_floats(y + at, Pack<float, 1>{{static_cast<float>(before + scale * sum)}});
}

/// Writes y where there is one piece, else partial (outer, pieces, inner).
template <int width, class X, class Y>
__global__ void __launch_bounds__(block_threads)
    reduce_kernel(ReducePlan plan, const X* x, double* partial, Y* y, double scale, bool accumulate) {
  __shared__ double sums[width][block_threads];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % plan.lanes, rows = block_threads / plan.lanes;
  for (std::int64_t job = blockIdx.x; job < plan.outer * plan.pieces * plan.tiles; job += gridDim.x) {
    const std::int64_t tile = job % plan.tiles, piece = job / plan.tiles % plan.pieces;
    const std::int64_t o = job / (plan.tiles * plan.pieces);
    const std::int64_t column = (tile * plan.lanes + lane) * width;
    const std::int64_t first = piece * plan.rows_of_piece;
    const std::int64_t last = first + plan.rows_of_piece < plan.reduced ? first + plan.rows_of_piece : plan.reduced;
    double total[width] = {};
    if (column < plan.inner) {
      const X* from = x + o * plan.reduced * plan.inner + column;
      std::int64_t row = first + thread / plan.lanes;
      for (; row + 3 * rows < last; row += 4 * rows) {
        Pack<float, width> four[4];
        for (int k = 0; k < 4; ++k) four[k] = load_floats<width>(from + (row + k * rows) * plan.inner);
        for (int c = 0; c < width; ++c) total[c] += (four[0][c] + four[1][c]) + (four[2][c] + four[3][c]);
      }
      for (; row < last; row += rows) {
        const auto one = load_floats<width>(from + row * plan.inner);
        for (int c = 0; c < width; ++c) total[c] += one[c];
      }
    }
    for (int c = 0; c < width; ++c) sums[c][thread] = total[c];
    for (int half = rows / 2; half > 0; half /= 2) {
      __syncthreads();
      if (thread < half * plan.lanes)
        for (int c = 0; c < width; ++c) sums[c][thread] += sums[c][thread + half * plan.lanes];
    }
    if (thread < plan.lanes && column < plan.inner) {
      for (int c = 0; c < width; ++c) {
        if (plan.pieces > 1)
          partial[(o * plan.pieces + piece) * plan.inner + column + c] = sums[c][thread];
        else
          put(y, o * plan.inner + column + c, sums[c][thread], scale, accumulate);
      }
    }
    __syncthreads();
  }
}

/// A warp adds the pieces of one element of y.
template <class Y>
__global__ void add_pieces_kernel(ReducePlan plan, const double* partial, Y* y, double scale, bool accumulate) {
  const std::int64_t lane = threadIdx.x % 32;
  for (std::int64_t at = grid_thread() / 32; at < plan.outer * plan.inner; at += grid_threads() / 32) {
    const double* from = partial + at / plan.inner * plan.pieces * plan.inner + at % plan.inner;
    double sum = 0.0;
    for (std::int64_t piece = lane; piece < plan.pieces; piece += 32) sum += from[piece * plan.inner];
    sum = warp_sum(sum);
    if (lane == 0) put(y, at, sum, scale, accumulate);
  }
}

template <class X, class Y>
void run(Stream& stream, const Reduce& arguments) {
  const Shape& shape = arguments.x.shape;
  const double scale = arguments.kind == ReduceKind::mean ? 1.0 / static_cast<double>(shape[1]) : 1.0;
  const bool accumulate = arguments.write == Write::accumulate;
  // Four columns a thread for every type: with more, the sums in double would take half of the registers.
  const X* x = arguments.x.as<X>();
  Y* y = arguments.y.as<Y>();
  const bool packed = shape[2] % 4 == 0 && aligned_16(x);
  const ReducePlan plan = plan_reduce(shape, packed ? 4 : 1);
  const Scratch partial(stream, plan.pieces > 1 ? sizeof(double) * plan.outer * plan.pieces * plan.inner : 0);
  launch(stream,
         {"reduce", shape, blocks_for(stream, plan.outer * plan.pieces * plan.tiles * block_threads), block_threads},
         packed ? &reduce_kernel<4, X, Y> : &reduce_kernel<1, X, Y>, plan, x, partial.as<double>(), y, scale,
         accumulate);
  if (plan.pieces > 1)
    launch(stream, {"reduce", shape, blocks_for(stream, 32 * plan.outer * plan.inner), block_threads},
           &add_pieces_kernel<Y>, plan, partial.as<double>(), y, scale, accumulate);
}

const bool registered = reduce.implement(DeviceKind::cuda, &reduce_on_cuda);

}  // namespace

void reduce_on_cuda(Stream& stream, const Reduce& arguments) {
  if (arguments.y.count() == 0) return;
  with_value_type(arguments.x, [&]<class X>(X) {
    if (arguments.y.dtype == arguments.x.dtype)
      run<X, X>(stream, arguments);
    else
      run<X, float>(stream, arguments);
  });
}

}  // namespace tweedie
