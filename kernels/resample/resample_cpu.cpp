#include "kernels/resample/resample.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/resample/resample_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "kernels/runtime/parallel.h"
#include "kernels/runtime/simd-inl.h"

// All four are one of two movements between a coarse and a fine array: coarse = scale * (sum of each block of fine), or
// fine = scale * coarse spread over each block. A row of coarse pixels and its `factor` rows of fine ones are one job.

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

/// A row of `width` coarse pixels; fine_stride is the distance between rows of fine pixels, in floats. `fixed` is the
/// factor where it is known to the compiler, else 0.
template <int fixed, bool accumulate>
void gather_row_of(const float* fine, std::int64_t fine_stride, std::int64_t width, std::int64_t channels,
                   int any_factor, float scale, float* coarse) {
  const int factor = fixed > 0 ? fixed : any_factor;
  for (std::int64_t w = 0; w < width; ++w, coarse += channels, fine += factor * channels)
    for_each_vector(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      auto sum = hn::Zero(d);
      for (int i = 0; i < factor; ++i)
        for (int j = 0; j < factor; ++j) sum = hn::Add(sum, hn::LoadU(d, fine + i * fine_stride + j * channels + c));
      const auto scaled = hn::Mul(sum, hn::Set(d, scale));
      hn::StoreU(accumulate ? hn::Add(scaled, hn::LoadU(d, coarse + c)) : scaled, d, coarse + c);
    });
}

/// Row by row of the fine pixels, so that each is written in one stream; overwritten rows after the first are copies.
template <int fixed, bool accumulate>
void spread_row_of(const float* coarse, std::int64_t width, std::int64_t channels, int any_factor, float scale,
                   float* fine, std::int64_t fine_stride) {
  const int factor = fixed > 0 ? fixed : any_factor;
  for (int i = 0; i < (accumulate ? factor : 1); ++i) {
    float* out = fine + i * fine_stride;
    for (std::int64_t w = 0; w < width; ++w, out += factor * channels)
      for_each_vector(channels, [&](auto d, std::int64_t c) HWY_ATTR {
        const auto value = hn::Mul(hn::LoadU(d, coarse + w * channels + c), hn::Set(d, scale));
        for (int j = 0; j < factor; ++j) {
          float* target = out + j * channels + c;
          hn::StoreU(accumulate ? hn::Add(value, hn::LoadU(d, target)) : value, d, target);
        }
      });
  }
  for (int i = 1; !accumulate && i < factor; ++i)
    std::memcpy(fine + i * fine_stride, fine, static_cast<std::size_t>(factor * width * channels) * sizeof(float));
}

void gather_row(const float* fine, std::int64_t fine_stride, std::int64_t width, std::int64_t channels, int factor,
                float scale, bool accumulate, float* coarse) {
  const auto row = accumulate ? (factor == 2 ? &gather_row_of<2, true> : &gather_row_of<0, true>)
                              : (factor == 2 ? &gather_row_of<2, false> : &gather_row_of<0, false>);
  row(fine, fine_stride, width, channels, factor, scale, coarse);
}

void spread_row(const float* coarse, std::int64_t width, std::int64_t channels, int factor, float scale,
                bool accumulate, float* fine, std::int64_t fine_stride) {
  const auto row = accumulate ? (factor == 2 ? &spread_row_of<2, true> : &spread_row_of<0, true>)
                              : (factor == 2 ? &spread_row_of<2, false> : &spread_row_of<0, false>);
  row(coarse, width, channels, factor, scale, fine, fine_stride);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {

constinit Operation<UpsampleNearestForward> upsample_nearest_forward{"upsample_nearest_forward"};
constinit Operation<UpsampleNearestBackward> upsample_nearest_backward{"upsample_nearest_backward"};
constinit Operation<AveragePoolForward> average_pool_forward{"average_pool_forward"};
constinit Operation<AveragePoolBackward> average_pool_backward{"average_pool_backward"};

namespace {

HWY_EXPORT(gather_row);
HWY_EXPORT(spread_row);

/// Calls body(coarse offset, fine offset) for every row of coarse pixels, both in floats.
template <class Body>
void for_each_row(const Shape& coarse, const Shape& fine, int factor, Body&& body) {
  const std::int64_t row = coarse[2] * coarse[3], fine_stride = fine[2] * fine[3];
  parallel_for(coarse[0] * coarse[1],
               std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, factor * fine_stride)),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t job = first; job < last; ++job) {
                   const std::int64_t n = job / coarse[1], h = job % coarse[1];
                   body(job * row, (n * fine[1] + h * factor) * fine_stride);
                 }
               });
}

void gather(const Array& fine, const Array& coarse, int factor, float scale, Write write) {
  const Shape &c = coarse.shape, &f = fine.shape;
  for_each_row(c, f, factor, [&](std::int64_t coarse_offset, std::int64_t fine_offset) {
    HWY_DYNAMIC_DISPATCH(gather_row)
    (fine.as<float>() + fine_offset, f[2] * f[3], c[2], c[3], factor, scale, write == Write::accumulate,
     coarse.as<float>() + coarse_offset);
  });
}

void spread(const Array& coarse, const Array& fine, int factor, float scale, Write write) {
  const Shape &c = coarse.shape, &f = fine.shape;
  for_each_row(c, f, factor, [&](std::int64_t coarse_offset, std::int64_t fine_offset) {
    HWY_DYNAMIC_DISPATCH(spread_row)
    (coarse.as<float>() + coarse_offset, c[2], c[3], factor, scale, write == Write::accumulate,
     fine.as<float>() + fine_offset, f[2] * f[3]);
  });
}

void upsample_forward_cpu(Stream&, const UpsampleNearestForward& arguments) {
  spread(arguments.x, arguments.y, arguments.factor, 1.0f, Write::overwrite);
}

void upsample_backward_cpu(Stream&, const UpsampleNearestBackward& arguments) {
  gather(arguments.grad_y, arguments.grad_x, arguments.factor, 1.0f, arguments.write);
}

float mean_scale(int factor) {
  return 1.0f / static_cast<float>(factor * factor);
}

void pool_forward_cpu(Stream&, const AveragePoolForward& arguments) {
  gather(arguments.x, arguments.y, arguments.factor, mean_scale(arguments.factor), Write::overwrite);
}

void pool_backward_cpu(Stream&, const AveragePoolBackward& arguments) {
  const Shape& fine = arguments.grad_x.shape;
  const bool partial = fine[1] % arguments.factor != 0 || fine[2] % arguments.factor != 0;
  if (partial && arguments.write == Write::overwrite)  // what no block reaches is 0
    std::fill_n(arguments.grad_x.as<float>(), arguments.grad_x.count(), 0.0f);
  spread(arguments.grad_y, arguments.grad_x, arguments.factor, mean_scale(arguments.factor), arguments.write);
}

const bool registered = upsample_nearest_forward.implement(DeviceKind::cpu, &upsample_forward_cpu) &&
                        upsample_nearest_backward.implement(DeviceKind::cpu, &upsample_backward_cpu) &&
                        average_pool_forward.implement(DeviceKind::cpu, &pool_forward_cpu) &&
                        average_pool_backward.implement(DeviceKind::cpu, &pool_backward_cpu);

}  // namespace
}  // namespace tweedie
#endif  // HWY_ONCE
