#include "kernels/optimizer/adam_coefficients.h"
#include "kernels/optimizer/array_table.cuh"
#include "kernels/optimizer/optimizer.h"

namespace tweedie {
namespace {

struct AdamEntry {
  float *parameter, *first, *second, *average;
  const float* gradient;
  std::int64_t count;
};

/// The same operations in the same order as on the CPU. gradient_scale may be null.
__global__ void __launch_bounds__(block_threads)
    adam_kernel(const __grid_constant__ ArrayTable<AdamEntry> table, AdamCoefficients k, const float* gradient_scale) {
  const float scale = gradient_scale != nullptr ? *gradient_scale : 1.0f;
  for (int piece = static_cast<int>(blockIdx.x); piece < table.pieces(); piece += static_cast<int>(gridDim.x))
    with_piece(table, piece, [&](const AdamEntry& entry, std::int64_t begin, std::int64_t end) {
      const bool aligned = device_aligned_16(entry.parameter, entry.gradient, entry.first, entry.second, entry.average);
      for_each_pack_of_block(begin, end, aligned, [&](auto width, std::int64_t i) {
        constexpr int w = width();
        const auto gradient = load<w>(entry.gradient + i);
        auto p = load<w>(entry.parameter + i), m = load<w>(entry.first + i), v = load<w>(entry.second + i);
        for (int j = 0; j < w; ++j) {
          const float g = gradient[j] * scale;
          m[j] = fmaf(m[j], k.beta1, g * k.rest1);
          v[j] = fmaf(v[j], k.beta2, g * g * k.rest2);
          const float deviation = fmaf(sqrtf(v[j]), k.correction2, k.epsilon);
          p[j] = fmaf(-(m[j] / deviation), k.step_size, p[j] * k.decay);
        }
        store_global(entry.first + i, m);
        store_global(entry.second + i, v);
        store_global(entry.parameter + i, p);
        if (entry.average == nullptr) return;
        auto average = load<w>(entry.average + i);
        for (int j = 0; j < w; ++j) average[j] = fmaf(p[j] - average[j], k.average_rest, average[j]);
        store_global(entry.average + i, average);
      });
    });
}

void adam_step_cuda(Stream& stream, const AdamStep& arguments) {
  if (arguments.tensors.empty()) return;
  const AdamCoefficients k = adam_coefficients(arguments, 1.0f);
  const float* gradient_scale = arguments.gradient_scale ? arguments.gradient_scale.as<float>() : nullptr;
  for_each_table<AdamEntry>(
      arguments.tensors.size(),
      [&](std::size_t i) {
        const OptimizerTensor& tensor = arguments.tensors[i];
        return AdamEntry{.parameter = tensor.parameter.as<float>(),
                         .first = tensor.first_moment.as<float>(),
                         .second = tensor.second_moment.as<float>(),
                         .average = tensor.average ? tensor.average.as<float>() : nullptr,
                         .gradient = tensor.gradient.as<float>(),
                         .count = tensor.parameter.count()};
      },
      [&](const ArrayTable<AdamEntry>& table, std::int64_t pieces, std::int64_t) {
        launch(stream,
               {"adam_step", arguments.tensors[0].parameter.shape, blocks_for(stream, pieces * block_threads),
                block_threads},
               &adam_kernel, table, k, gradient_scale);
      });
}

struct ArrayEntry {
  const float* data;
  std::int64_t count;
};

/// Squares and sums in double, a piece a block: a float32 square may overflow or vanish.
__global__ void __launch_bounds__(block_threads)
    sum_squares_kernel(const __grid_constant__ ArrayTable<ArrayEntry> table, double* sums) {
  __shared__ double shared[32];
  for (int piece = static_cast<int>(blockIdx.x); piece < table.pieces(); piece += static_cast<int>(gridDim.x)) {
    double sum = 0.0;
    with_piece(table, piece, [&](const ArrayEntry& entry, std::int64_t begin, std::int64_t end) {
      for_each_pack_of_block(begin, end, device_aligned_16(entry.data), [&](auto width, std::int64_t i) {
        const auto values = load<width()>(entry.data + i);
        for (int j = 0; j < width(); ++j)
          sum = fma(static_cast<double>(values[j]), static_cast<double>(values[j]), sum);
      });
    });
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) sums[piece] = sum;
  }
}

/// One block adds the pieces' sums in a fixed order. scale may be null.
__global__ void __launch_bounds__(block_threads)
    finish_norm_kernel(const double* sums, std::int64_t pieces, double max_norm, float* norm, float* scale) {
  __shared__ double shared[32];
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < pieces; i += block_threads) sum += sums[i];
  const double root = sqrt(block_sum(sum, shared));
  if (threadIdx.x != 0) return;
  *norm = static_cast<float>(root);
  if (scale != nullptr) *scale = max_norm > 0.0 && root > max_norm ? static_cast<float>(max_norm / root) : 1.0f;
}

ArrayEntry entry_of(const Array& array) {
  return {array.as<float>(), array.count()};
}
Shape first_shape(std::span<const Array> arrays) {
  return arrays.empty() ? Shape{0} : arrays[0].shape;
}

void global_norm_cuda(Stream& stream, const GlobalNorm& arguments) {
  std::int64_t pieces = 0;
  for (const Array& array : arguments.arrays) pieces += (array.count() + elements_of_piece - 1) / elements_of_piece;
  const Scratch sums(stream, sizeof(double) * static_cast<std::size_t>(std::max<std::int64_t>(1, pieces)));
  const Shape shape = first_shape(arguments.arrays);
  for_each_table<ArrayEntry>(
      arguments.arrays.size(), [&](std::size_t i) { return entry_of(arguments.arrays[i]); },
      [&](const ArrayTable<ArrayEntry>& table, std::int64_t here, std::int64_t before) {
        launch(stream, {"global_norm", shape, blocks_for(stream, here * block_threads), block_threads},
               &sum_squares_kernel, table, sums.as<double>() + before);
      });
  launch(stream, {"global_norm", shape, 1, block_threads}, &finish_norm_kernel, sums.as<double>(), pieces,
         arguments.max_norm, arguments.norm.as<float>(), arguments.scale ? arguments.scale.as<float>() : nullptr);
}

__global__ void __launch_bounds__(block_threads)
    count_nonfinite_kernel(const __grid_constant__ ArrayTable<ArrayEntry> table, unsigned long long* count) {
  __shared__ unsigned shared[32];
  unsigned found = 0;
  for (int piece = static_cast<int>(blockIdx.x); piece < table.pieces(); piece += static_cast<int>(gridDim.x))
    with_piece(table, piece, [&](const ArrayEntry& entry, std::int64_t begin, std::int64_t end) {
      for_each_pack_of_block(begin, end, device_aligned_16(entry.data), [&](auto width, std::int64_t i) {
        const auto values = load<width()>(entry.data + i);
        for (int j = 0; j < width(); ++j) found += isfinite(values[j]) ? 0 : 1;
      });
    });
  found = block_sum(found, shared);
  if (threadIdx.x == 0 && found > 0) atomicAdd(count, found);
}

void count_nonfinite_cuda(Stream& stream, const CountNonfinite& arguments) {
  stream.zero(arguments.count.data, sizeof(std::int64_t));
  for_each_table<ArrayEntry>(
      arguments.arrays.size(), [&](std::size_t i) { return entry_of(arguments.arrays[i]); },
      [&](const ArrayTable<ArrayEntry>& table, std::int64_t here, std::int64_t) {
        launch(
            stream,
            {"count_nonfinite", first_shape(arguments.arrays), blocks_for(stream, here * block_threads), block_threads},
            &count_nonfinite_kernel, table, reinterpret_cast<unsigned long long*>(arguments.count.as<std::int64_t>()));
      });
}

const bool registered = adam_step.implement(DeviceKind::cuda, &adam_step_cuda) &&
                        global_norm.implement(DeviceKind::cuda, &global_norm_cuda) &&
                        count_nonfinite.implement(DeviceKind::cuda, &count_nonfinite_cuda);

}  // namespace
}  // namespace tweedie
