#pragma once

#include "kernels/runtime/cuda.h"
#include "kernels/runtime/kernel.cuh"

// What the backward passes of group norm and layer norm end with: the gradients of parameters and of the modulation,
// from sums over positions of the gradient g behind the affine map, and of g times the normalised value.
namespace tweedie {

struct NormSums {
  std::string_view operation;
  std::int64_t samples, runs, channels;
  float* sums;                        // (samples, runs, 2, channels): of g, and of g normalised; overwritten
  const float *gamma, *beta, *scale;  // each or null; scale (samples, channels)
};

/// A thread a channel of a sample adds the runs in order and leaves their sum in run 0. grad_scale (N, C) = gamma
/// product + beta gradient and grad_shift (N, C) = gradient, each or null.
static __global__ void norm_modulation_kernel(const __grid_constant__ NormSums of, float* grad_scale,
                                              float* grad_shift) {
  for (std::int64_t i = grid_thread(); i < of.samples * of.channels; i += grid_threads()) {
    const std::int64_t n = i / of.channels, c = i % of.channels;
    float* first = of.sums + n * of.runs * 2 * of.channels + c;
    double gradient = first[0], product = first[of.channels];
    for (std::int64_t run = 1; run < of.runs; ++run) {
      gradient += first[run * 2 * of.channels];
      product += first[(run * 2 + 1) * of.channels];
    }
    if (of.runs > 1) {
      first[0] = static_cast<float>(gradient);
      first[of.channels] = static_cast<float>(product);
    }
    const double gamma = of.gamma != nullptr ? of.gamma[c] : 1.0, beta = of.beta != nullptr ? of.beta[c] : 0.0;
    if (grad_scale != nullptr) grad_scale[i] = static_cast<float>(gamma * product + beta * gradient);
    if (grad_shift != nullptr) grad_shift[i] = static_cast<float>(gradient);
  }
}

/// grad_gamma[c] += sum over samples of (1 + scale) product, grad_beta[c] += that of (1 + scale) gradient. A block
/// takes 32 channels; its 8 rows of threads share the samples, always in the same way. Each output may be null.
static __global__ void __launch_bounds__(block_threads)
    norm_parameters_kernel(const __grid_constant__ NormSums of, float* grad_gamma, float* grad_beta) {
  constexpr int lanes = 32, rows = block_threads / lanes;
  __shared__ double shared[2][rows][lanes];
  const int lane = static_cast<int>(threadIdx.x) % lanes, row = static_cast<int>(threadIdx.x) / lanes;
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * lanes + lane;
  double gradient = 0.0, product = 0.0;
  for (std::int64_t n = row; c < of.channels && n < of.samples; n += rows) {
    const float* sums = of.sums + n * of.runs * 2 * of.channels + c;
    const double modulation = of.scale != nullptr ? 1.0 + of.scale[n * of.channels + c] : 1.0;
    gradient = fma(modulation, static_cast<double>(sums[0]), gradient);
    product = fma(modulation, static_cast<double>(sums[of.channels]), product);
  }
  shared[0][row][lane] = gradient;
  shared[1][row][lane] = product;
  __syncthreads();
  if (row != 0 || c >= of.channels) return;
  for (int k = 1; k < rows; ++k) {
    gradient += shared[0][k][lane];
    product += shared[1][k][lane];
  }
  if (grad_beta != nullptr) grad_beta[c] = static_cast<float>(grad_beta[c] + gradient);
  if (grad_gamma != nullptr) grad_gamma[c] = static_cast<float>(grad_gamma[c] + product);
}

/// Writes grad_scale and grad_shift, adds to grad_gamma and grad_beta, where `arguments` has them.
template <class Arguments>
void finish_norm_gradients(Stream& stream, const NormSums& sums, const Arguments& arguments) {
  const auto optional = [](const Array& array) { return array ? array.template as<float>() : nullptr; };
  float* grad_scale = optional(arguments.grad_scale);
  float* grad_shift = optional(arguments.grad_shift);
  const Shape& shape = arguments.x.shape;
  if (sums.runs > 1 || grad_scale != nullptr || grad_shift != nullptr)
    launch(stream, {sums.operation, shape, blocks_for(stream, sums.samples * sums.channels), block_threads},
           &norm_modulation_kernel, sums, grad_scale, grad_shift);
  float* grad_gamma = optional(arguments.grad_gamma);
  float* grad_beta = optional(arguments.grad_beta);
  if (grad_gamma != nullptr || grad_beta != nullptr)
    launch(stream, {sums.operation, shape, static_cast<unsigned>((sums.channels + 31) / 32), block_threads},
           &norm_parameters_kernel, sums, grad_gamma, grad_beta);
}

}  // namespace tweedie
