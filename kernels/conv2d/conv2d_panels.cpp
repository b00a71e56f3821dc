#include "kernels/conv2d/conv2d_panels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv2d/conv2d_panels.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <omp.h>

#include <algorithm>
#include <vector>

#include "kernels/matmul/panel_gemm-inl.h"
#include "kernels/runtime/parallel.h"

#ifndef TWEEDIE_CONV2D_PANELS_TYPES
#define TWEEDIE_CONV2D_PANELS_TYPES
namespace tweedie {

/// Images (height, width, channels) of a batch, and the zeros put around them.
struct PaddedImages {
  const float* data = nullptr;
  std::int64_t height = 0, width = 0, channels = 0;
  int top = 0, left = 0, bottom = 0, right = 0;

  bool padded() const { return top > 0 || left > 0 || bottom > 0 || right > 0; }
  std::int64_t padded_height() const { return height + top + bottom; }
  std::int64_t padded_width() const { return width + left + right; }
  const float* image(std::int64_t n) const { return data + n * height * width * channels; }
};

/// sums (kernel_h, kernel_w * channels, out) += the correlation of windows of `images` with grads (rows, columns, out).
struct WindowProducts {
  PaddedImages images;
  const float* grads = nullptr;
  std::int64_t rows = 0, columns = 0, out = 0, kernel_h = 1, kernel_w = 1, stride = 1;
};

/// y (rows, columns, out) = start + gathered products of images with weight (channels, width), width = taps * out
/// padded.
struct FewOutputs {
  PaddedImages images;
  const float* weight = nullptr;
  const float *bias = nullptr, *residual = nullptr;
  float* y = nullptr;
  std::int64_t rows = 0, columns = 0, out = 0, kernel_h = 1, kernel_w = 1, stride = 1;
};

}  // namespace tweedie
#endif

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

/// The image with its zeros, in `buffer` unless it has none.
const float* padded_image(const PaddedImages& images, std::int64_t n, std::vector<float>& buffer) {
  if (!images.padded()) return images.image(n);
  const std::int64_t row = images.width * images.channels, padded_row = images.padded_width() * images.channels;
  buffer.assign(images.padded_height() * padded_row, 0.0f);
  for (std::int64_t h = 0; h < images.height; ++h)
    std::copy_n(images.image(n) + h * row, row, &buffer[(h + images.top) * padded_row + images.left * images.channels]);
  return buffer.data();
}

/// bias[j] += sum over rows of grads (rows, out)
void add_rows(const float* grads, std::int64_t rows, std::int64_t out, float* bias) {
  namespace hn = hwy::HWY_NAMESPACE;
  const panel::Tag d;
  std::int64_t j = 0;
  for (; j + panel::lanes <= out; j += panel::lanes) {
    auto sum = hn::Zero(d);
    for (std::int64_t r = 0; r < rows; ++r) sum = hn::Add(sum, hn::LoadU(d, grads + r * out + j));
    hn::StoreU(hn::Add(sum, hn::LoadU(d, bias + j)), d, bias + j);
  }
  for (; j < out; ++j) {
    float sum = 0.0f;
    for (std::int64_t r = 0; r < rows; ++r) sum += grads[r * out + j];
    bias[j] += sum;
  }
}

/// Asks for part `part` of `parts` of the lines of `count` floats.
HWY_INLINE void prefetch(const float* data, std::int64_t count, std::int64_t part, std::int64_t parts) {
  constexpr std::int64_t line = 16;
  for (std::int64_t i = count * part / parts; i < count * (part + 1) / parts; i += line) hwy::Prefetch(data + i);
}

/// A 1 x 1 kernel of stride 1: sums (channels, out) += images' grads over `pixels` pixels. Pieces that fit into the
/// first-level cache, and each piece is asked for while the one before is worked on.
void pixel_products(const float* images, const float* grads, std::int64_t channels, std::int64_t out,
                    std::int64_t pixels, float* sums, float* bias) {
  const std::int64_t piece = std::clamp<std::int64_t>(4096 / (channels + out), 16, 256);
  constexpr std::int64_t block = 12;  // rows of sums
  const std::int64_t blocks = (channels + block - 1) / block;
  for (std::int64_t first = 0; first < pixels; first += piece) {
    const std::int64_t count = std::min(piece, pixels - first), next = std::min(piece, pixels - first - count);
    const float* a = images + first * channels;
    const float* b = grads + first * out;
    for (std::int64_t i = 0; i < blocks; ++i) {
      prefetch(a + count * channels, next * channels, i, blocks);
      prefetch(b + count * out, next * out, i, blocks);
      const float* rows = a + i * block;
      panel_gemm({.rows = std::min(block, channels - i * block),
                  .columns = out,
                  .inner = count,
                  .a = &rows,
                  .a_row = 1,
                  .a_inner = channels,
                  .b = b,
                  .b_row = out,
                  .c = sums + i * block * out,
                  .c_row = out,
                  .start = PanelStart::output});
    }
    if (bias != nullptr) add_rows(b, count, out, bias);
  }
}

/// Images first <= n < last; bias (out), where it is wanted, gains the sum of grads.
void window_products(const WindowProducts& p, std::int64_t first, std::int64_t last, float* sums, float* bias) {
  const std::int64_t channels = p.images.channels, window = p.kernel_w * channels;
  const std::int64_t image_row = p.images.padded_width() * channels;
  if (p.kernel_h == 1 && p.kernel_w == 1 && p.stride == 1 && !p.images.padded()) {
    const std::int64_t pixels = p.rows * p.columns;
    return pixel_products(p.images.image(first), p.grads + first * pixels * p.out, channels, p.out,
                          (last - first) * pixels, sums, bias);
  }
  std::vector<float> buffer;
  for (std::int64_t n = first; n < last; ++n) {
    const float* image = padded_image(p.images, n, buffer);
    for (std::int64_t row = 0; row < p.rows; ++row) {
      const float* grads = p.grads + (n * p.rows + row) * p.columns * p.out;
      for (std::int64_t kh = 0; kh < p.kernel_h; ++kh) {
        const float* windows = image + (row * p.stride + kh) * image_row;
        panel_gemm({.rows = window,
                    .columns = p.out,
                    .inner = p.columns,
                    .a = &windows,
                    .a_row = 1,
                    .a_inner = p.stride * channels,
                    .b = grads,
                    .b_row = p.out,
                    .c = sums + kh * window * p.out,
                    .c_row = p.out,
                    .start = PanelStart::output});
      }
      if (bias != nullptr) add_rows(grads, p.columns, p.out, bias);
    }
  }
}

void few_outputs(const FewOutputs& p, std::int64_t first, std::int64_t last) {
  const std::int64_t channels = p.images.channels, width = padded_to_panel(p.kernel_h * p.kernel_w * p.out);
  const std::int64_t padded_width = p.images.padded_width();
  std::vector<float> products(p.images.padded_height() * padded_width * width, 0.0f);
  const std::int64_t y_count = p.rows * p.columns * p.out;
  for (std::int64_t n = first; n < last; ++n) {
    // The products of the zeros around an image stay zero.
    for (std::int64_t h = 0; h < p.images.height; ++h) {
      const float* row = p.images.image(n) + h * p.images.width * channels;
      panel_gemm({.rows = p.images.width,
                  .columns = width,
                  .inner = channels,
                  .a = &row,
                  .a_row = channels,
                  .a_inner = 1,
                  .b = p.weight,
                  .b_row = width,
                  .c = &products[((h + p.images.top) * padded_width + p.images.left) * width],
                  .c_row = width});
    }
    for (std::int64_t row = 0; row < p.rows; ++row)
      for (std::int64_t column = 0; column < p.columns; ++column)
        for (std::int64_t o = 0; o < p.out; ++o) {
          const std::int64_t at = n * y_count + (row * p.columns + column) * p.out + o;
          float sum = p.bias != nullptr ? p.bias[o] : 0.0f;
          if (p.residual != nullptr) sum += p.residual[at];
          for (std::int64_t kh = 0; kh < p.kernel_h; ++kh) {
            const float* from = &products[((row * p.stride + kh) * padded_width + column * p.stride) * width];
            for (std::int64_t kw = 0; kw < p.kernel_w; ++kw)
              sum += from[kw * width + (kh * p.kernel_w + kw) * p.out + o];
          }
          p.y[at] = sum;
        }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie::conv2d_panels {
namespace {

HWY_EXPORT(window_products);
HWY_EXPORT(few_outputs);

constexpr std::int64_t few = 4;           // channels
constexpr std::int64_t few_columns = 64;  // taps * channels of the gathered products

PaddedImages images_of(const Array& x, const Conv2dGeometry& geometry) {
  return {.data = x.as<float>(),
          .height = x.shape[1],
          .width = x.shape[2],
          .channels = x.shape[3],
          .top = geometry.pad_top,
          .left = geometry.pad_left,
          .bottom = geometry.pad_bottom,
          .right = geometry.pad_right};
}

bool exchanges_roles(const Conv2dFilterGradient& arguments) {
  const auto& [stride, top, left, bottom, right] = arguments.geometry;
  const std::int64_t kernel_h = arguments.grad_weight.shape[1], kernel_w = arguments.grad_weight.shape[2];
  return arguments.grad_y.shape[3] <= few && arguments.x.shape[3] % panel_width == 0 && stride == 1 &&
         std::max(top, bottom) < kernel_h && std::max(left, right) < kernel_w;
}

}  // namespace

bool takes(const Conv2dForward& arguments) {
  const Shape& weight = arguments.weight.shape;
  return weight[0] <= few && weight[3] > few && weight.count_between(0, 3) <= few_columns;
}

void forward(const Conv2dForward& arguments) {
  const auto& [x, weight, bias, residual, y, geometry, activation] = arguments;
  const std::int64_t out = weight.shape[0], taps = weight.shape.count_between(1, 3), in = weight.shape[3];
  const std::int64_t width = padded_to_panel(taps * out);
  std::vector<float> packed(in * width, 0.0f);
  const float* from = weight.as<float>();
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t tap = 0; tap < taps; ++tap)
      for (std::int64_t i = 0; i < in; ++i) packed[i * width + tap * out + o] = from[(o * taps + tap) * in + i];
  const FewOutputs problem{.images = images_of(x, geometry),
                           .weight = packed.data(),
                           .bias = bias ? bias.as<float>() : nullptr,
                           .residual = residual ? residual.as<float>() : nullptr,
                           .y = y.as<float>(),
                           .rows = y.shape[1],
                           .columns = y.shape[2],
                           .out = out,
                           .kernel_h = weight.shape[1],
                           .kernel_w = weight.shape[2],
                           .stride = geometry.stride};
  parallel_for(x.shape[0], 1, [&](std::int64_t first, std::int64_t last) {
    HWY_DYNAMIC_DISPATCH(few_outputs)(problem, first, last);
  });
}

bool takes(const Conv2dFilterGradient& arguments) {
  const Shape& weight = arguments.grad_weight.shape;
  if (exchanges_roles(arguments)) return true;
  return weight[0] % panel_width == 0 && (weight[3] <= few || weight.count_between(1, 3) == 1);
}

void filter_gradient(const Conv2dFilterGradient& arguments) {
  const auto& [x, grad_y, grad_weight, grad_bias, geometry, write] = arguments;
  const Shape& weight = grad_weight.shape;
  const std::int64_t kernel_h = weight[1], kernel_w = weight[2], taps = kernel_h * kernel_w;
  const bool exchanged = exchanges_roles(arguments);
  WindowProducts problem{.kernel_h = kernel_h, .kernel_w = kernel_w, .stride = geometry.stride};
  if (exchanged) {
    // sum over q of x[q] grad_y[q + tap' - (k - 1 - pad)], tap' = k - 1 - tap: grad_y takes the part of the images.
    const auto& [stride, top, left, bottom, right] = geometry;
    const int last_h = static_cast<int>(kernel_h) - 1, last_w = static_cast<int>(kernel_w) - 1;
    problem.images = images_of(grad_y, {1, last_h - top, last_w - left, last_h - bottom, last_w - right});
    problem.grads = x.as<float>();
  } else {
    problem.images = images_of(x, geometry);
    problem.grads = grad_y.as<float>();
  }
  const Array& others = exchanged ? x : grad_y;
  problem.rows = others.shape[1], problem.columns = others.shape[2], problem.out = others.shape[3];

  // One set of sums a thread, added in the threads' order; float32 sums over about a thousand pixels at a time.
  const std::int64_t count = grad_weight.count(), out = weight[0], in = weight[3], samples = x.shape[0];
  const std::int64_t pieces = std::min<std::int64_t>(omp_get_max_threads(), samples);
  const std::int64_t step = std::max<std::int64_t>(1, 1024 / std::max<std::int64_t>(1, problem.rows * problem.columns));
  std::vector<double> sums(pieces * (count + out), 0.0);
  parallel_for(pieces, 1, [&](std::int64_t first_piece, std::int64_t last_piece) {
    std::vector<float> part(count + out);
    for (std::int64_t piece = first_piece; piece < last_piece; ++piece) {
      double* own = &sums[piece * (count + out)];
      const std::int64_t end = samples * (piece + 1) / pieces;
      for (std::int64_t first = samples * piece / pieces; first < end; first += step) {
        std::fill(part.begin(), part.end(), 0.0f);
        HWY_DYNAMIC_DISPATCH(window_products)
        (problem, first, std::min(first + step, end), part.data(), grad_bias ? &part[count] : nullptr);
        for (std::int64_t i = 0; i < count + out; ++i) own[i] += part[i];
      }
    }
  });
  for (std::int64_t piece = 1; piece < pieces; ++piece)
    for (std::int64_t i = 0; i < count + out; ++i) sums[i] += sums[piece * (count + out) + i];

  const auto store = [accumulate = write == Write::accumulate](float& to, double value) {
    to = static_cast<float>(accumulate ? static_cast<double>(to) + value : value);
  };
  float* to = grad_weight.as<float>();
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t tap = 0; tap < taps; ++tap)
      for (std::int64_t i = 0; i < in; ++i)
        store(to[(o * taps + tap) * in + i],
              exchanged ? sums[((taps - 1 - tap) * out + o) * in + i] : sums[(tap * in + i) * out + o]);
  for (std::int64_t o = 0; grad_bias && o < out; ++o) store(grad_bias.as<float>()[o], sums[count + o]);
}

}  // namespace tweedie::conv2d_panels
#endif  // HWY_ONCE
