#include <cmath>
#include <vector>

#include "kernels/empirical_score/empirical_data.cuh"
#include "kernels/runtime/cuda.h"

// The data are read twice, once for the mean and once for the norms about it. Threads take packs of neighbouring
// columns in the order of memory, over the ends of rows: rows of whole sectors, and pairs of rows that make whole
// sectors, are read without waste.
namespace tweedie {
namespace {

using empirical_cuda::DataSet;

constexpr int sum_threads = 512, most_parts = 256, least_rows = 64;
constexpr int norm_threads = 256, norm_rows = 2 * norm_threads / 32;  // of a block: a warp takes two
constexpr int chunk_columns = 4096;                                   // whose centre lies in shared memory

/// Sums of bytes are exact.
template <class T>
using Sum = std::conditional_t<sizeof(T) == 1, unsigned long long, double>;

/// How sums of columns are cut into parts that are added in order: by the shape alone. The sum of a part's column j
/// lies at part * d + (j % width) * packs + j / width.
struct SumPlan {
  int packs;          // of a row
  int chunk;          // of them, that a block takes
  int groups;         // rows that a block takes at once
  std::int64_t rows;  // of a part
  int parts;
};

SumPlan sum_plan(std::int64_t rows, int packs) {
  SumPlan plan{.packs = packs, .chunk = packs, .groups = sum_threads / packs};
  if (plan.groups == 0) {
    const int chunks = (packs + sum_threads - 1) / sum_threads;
    plan.chunk = ((packs + chunks - 1) / chunks + 7) / 8 * 8;
    plan.groups = 1;
  } else if (plan.groups > 1) {
    plan.groups -= plan.groups % 2;
  }
  plan.rows = std::max<std::int64_t>(least_rows, (rows + most_parts - 1) / most_parts);
  plan.rows += plan.rows % 2;
  plan.parts = static_cast<int>((rows + plan.rows - 1) / plan.rows);
  return plan;
}

/// A block a chunk of columns and a part.
template <class T, int width>
__global__ void __launch_bounds__(sum_threads)
    column_sums_kernel(const T* data, std::int64_t rows, const SumPlan plan, double* parts) {
  __shared__ Sum<T> shared[sum_threads];
  const int thread = threadIdx.x, group = thread / plan.chunk;
  const int pack = blockIdx.x * plan.chunk + thread % plan.chunk;
  Sum<T> sums[width] = {};
  const std::int64_t first = blockIdx.y * plan.rows, end = min(rows, first + plan.rows);
  if (group < plan.groups && pack < plan.packs) {
#pragma unroll 8
    for (std::int64_t row = first + group; row < end; row += plan.groups) {
      const auto values = load<width>(data + (row * plan.packs + pack) * width);
#pragma unroll
      for (int k = 0; k < width; ++k) sums[k] += static_cast<Sum<T>>(values[k]);
    }
  }
#pragma unroll
  for (int k = 0; k < width; ++k) {
    shared[thread] = sums[k];
    __syncthreads();
    if (group == 0 && pack < plan.packs) {
      Sum<T> sum = shared[thread];
      for (int g = 1; g < plan.groups; ++g) sum += shared[thread + g * plan.chunk];
      parts[(static_cast<std::int64_t>(blockIdx.y) * width + k) * plan.packs + pack] = static_cast<double>(sum);
    }
    __syncthreads();
  }
}

/// The sum of the parts at `place`, that of the thread's lane; all threads of the block call it, and all get it.
__device__ double sum_of_parts(const double* parts, int count, int dimension, int place, double* shared) {
  const int warp = threadIdx.x / 32;
  double sum = 0.0;
#pragma unroll 8
  for (int part = warp; part < count; part += block_threads / 32)
    sum += parts[static_cast<std::int64_t>(part) * dimension + place];
  shared[threadIdx.x] = sum;
  __syncthreads();
  sum = 0.0;
  for (int of_warp = threadIdx.x % 32; of_warp < block_threads; of_warp += 32) sum += shared[of_warp];
  __syncthreads();
  return sum;
}

/// A block 32 columns.
template <int width>
__global__ void __launch_bounds__(block_threads)
    centre_kernel(const DataSet data, const double* parts, const SumPlan plan, double* centre) {
  __shared__ double shared[block_threads];
  const int own = blockIdx.x * 32 + threadIdx.x % 32, place = min(own, data.dimension - 1);
  const int column = place % plan.packs * width + place / plan.packs;
  const double rows = static_cast<double>(data.rows);
  double value = sum_of_parts(parts, plan.parts, data.dimension, place, shared) / rows;
  if (data.copies == 2) {
    const int flipped = data.mirrored(column);
    const int flipped_place = flipped % width * plan.packs + flipped / width;
    value = 0.5 * (value + sum_of_parts(parts, plan.parts, data.dimension, flipped_place, shared) / rows);
  }
  if (threadIdx.x >= 32 || own >= data.dimension) return;
  // v - centre of a byte v has at most 14 bits then: exact in float32.
  centre[column] = data.bytes != nullptr ? round(64.0 * value) / 64.0 : static_cast<double>(static_cast<float>(value));
}

__device__ inline double difference(std::uint8_t value, float centre) {
  return static_cast<double>(static_cast<float>(value) - centre);  // exact
}
__device__ inline double difference(float value, float centre) {
  return static_cast<double>(value) - static_cast<double>(centre);
}

/// A warp two rows, one after the other; `chunk` packs of them at a time.
template <class T, int width>
__global__ void __launch_bounds__(norm_threads, 5)
    squared_norms_kernel(const T* data, std::int64_t rows, int packs, int chunk, const double* centre, double unit,
                         double* norms) {
  extern __shared__ __align__(16) float centres[];  // of the chunk, twice, as two rows meet it
  __shared__ double sums[norm_rows];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  bool ready = false;  // the only chunk's centre
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * norm_rows;
  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * norm_rows; first < rows; first += stride) {
    const std::int64_t row = first + 2 * warp;
    const int own_rows = static_cast<int>(min(max(rows - row, std::int64_t{0}), std::int64_t{2}));
    double upper = 0.0, lower = 0.0;  // of the two rows
    for (int start = 0; start < packs; start += chunk) {
      const int count = min(chunk, packs - start);
      if (!ready) {
        __syncthreads();
        for (int i = threadIdx.x; i < count * width; i += norm_threads) {
          const float value = static_cast<float>(centre[start * width + i]);
          centres[i] = value;
          centres[count * width + i] = value;
        }
        __syncthreads();
        ready = chunk >= packs;
      }
#pragma unroll 4
      for (int i = lane; i < own_rows * count; i += 32) {
        const bool is_lower = i >= count;
        const auto values = load<width>(data + (row * packs + start + i + (is_lower ? packs - count : 0)) * width);
        const auto at = load<width>(centres + i * width);
        double sum = 0.0;
#pragma unroll
        for (int k = 0; k < width; ++k) {
          const double of_column = difference(values[k], at[k]);
          sum = fma(of_column, of_column, sum);
        }
        upper += is_lower ? 0.0 : sum;
        lower += is_lower ? sum : 0.0;
      }
    }
    upper = warp_sum(upper);
    lower = warp_sum(lower);
    if (lane < 2) sums[2 * warp + lane] = lane == 0 ? upper : lower;
    __syncthreads();
    if (threadIdx.x < norm_rows && first + threadIdx.x < rows)
      norms[first + threadIdx.x] = unit * unit * sums[threadIdx.x];
    __syncthreads();
  }
}

constexpr std::string_view name = "prepare_empirical_data";

template <class T, int width>
void prepare(Stream& stream, const PrepareEmpiricalData& arguments, const DataSet& set) {
  const T* data = arguments.data.as<T>();
  const Shape& shape = arguments.data.shape;
  double* centre = arguments.centre.as<double>();
  const int packs = set.dimension / width;
  const SumPlan plan = sum_plan(set.rows, packs);
  const Scratch parts(stream, static_cast<std::size_t>(plan.parts) * set.dimension * sizeof(double));
  const dim3 sum_blocks((packs + plan.chunk - 1) / plan.chunk, plan.parts);
  launch(stream, {name, shape, sum_blocks, sum_threads}, &column_sums_kernel<T, width>, data, set.rows, plan,
         parts.as<double>());
  launch(stream, {name, shape, static_cast<unsigned>((set.dimension + 31) / 32), block_threads}, &centre_kernel<width>,
         set, parts.as<double>(), plan, centre);
  const int chunk = std::min(packs, chunk_columns / width);
  const unsigned blocks = blocks_for(stream, (set.rows + norm_rows - 1) / norm_rows * norm_threads);
  launch(stream, {name, shape, blocks, norm_threads, sizeof(float) * 2 * chunk * width},
         &squared_norms_kernel<T, width>, data, set.rows, packs, chunk, centre, set.unit,
         arguments.squared_norms.as<double>());
}

template <class T>
void prepare(Stream& stream, const PrepareEmpiricalData& arguments, const DataSet& set) {
  constexpr int width = 4;
  if (set.dimension % width == 0 && reinterpret_cast<std::uintptr_t>(arguments.data.data) % (width * sizeof(T)) == 0)
    prepare<T, width>(stream, arguments, set);
  else
    prepare<T, 1>(stream, arguments, set);
}

void prepare_cuda(Stream& stream, const PrepareEmpiricalData& arguments) {
  require(arguments.data.dtype != DType::float64, "{}: data is float64, expected uint8 or float32", name);
  const DataSet set =
      empirical_cuda::data_set_of(arguments.data, arguments.centre, arguments.squared_norms, arguments.mirrored);
  if (set.bytes != nullptr)
    prepare<std::uint8_t>(stream, arguments, set);
  else
    prepare<float>(stream, arguments, set);
  std::vector<double> centre(static_cast<std::size_t>(set.dimension));
  stream.copy_to_host(centre.data(), arguments.centre.data, centre.size() * sizeof(double));
  for (std::size_t j = 0; j < centre.size(); ++j)
    require(std::isfinite(centre[j]), "{}: column {} of the data holds a value that is not finite", name, j);
}

const bool registered = prepare_empirical_data.implement(DeviceKind::cuda, &prepare_cuda);

}  // namespace
}  // namespace tweedie
