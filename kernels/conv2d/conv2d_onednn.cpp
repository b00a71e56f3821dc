#include "kernels/conv2d/conv2d_onednn.h"

#include <algorithm>
#include <array>

#include "kernels/runtime/onednn.h"
#include "kernels/runtime/parallel.h"

namespace tweedie::conv2d_onednn {
namespace {

using dnnl::memory;
using onednn::Slot;

/// Everything a primitive depends on: N, H, W, I, O, kernel, output, stride, padding and the caller's flags.
using Key = std::array<std::int64_t, 16>;
constexpr std::size_t cached_primitives = 256;

struct Problem {
  Shape x, weight, y;
  Conv2dGeometry geometry;
  bool has_bias = false;
  bool adds_to_output = false;

  Key key() const {
    return {x[0],
            x[1],
            x[2],
            x[3],
            weight[0],
            weight[1],
            weight[2],
            y[1],
            y[2],
            geometry.stride,
            geometry.pad_top,
            geometry.pad_left,
            geometry.pad_bottom,
            geometry.pad_right,
            has_bias,
            adds_to_output};
  }
  memory::desc x_memory() const { return {{x[0], x[3], x[1], x[2]}, memory::data_type::f32, memory::format_tag::nhwc}; }
  memory::desc y_memory() const { return {{y[0], y[3], y[1], y[2]}, memory::data_type::f32, memory::format_tag::nhwc}; }
  memory::desc weight_memory(memory::format_tag tag) const {
    return {{weight[0], weight[3], weight[1], weight[2]}, memory::data_type::f32, tag};
  }
  memory::desc bias_memory() const {
    if (!has_bias) return {};
    return {{weight[0]}, memory::data_type::f32, memory::format_tag::x};
  }
  memory::dims strides() const { return {geometry.stride, geometry.stride}; }
  memory::dims pad_before() const { return {geometry.pad_top, geometry.pad_left}; }
  /// oneDNN derives the output's extent from the padding and wants it exact: rows of the input that no stride reaches
  /// are padding taken away.
  memory::dims pad_after() const {
    return {(y[1] - 1) * geometry.stride + weight[1] - x[1] - geometry.pad_top,
            (y[2] - 1) * geometry.stride + weight[2] - x[2] - geometry.pad_left};
  }
};

dnnl::primitive_attr attributes(bool adds_to_output) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (adds_to_output) {
    dnnl::post_ops operations;
    operations.append_sum();
    attributes.set_post_ops(operations);
  }
  return attributes;
}

memory view(const memory::desc& description, const void* data) {
  return {description, onednn::engine(), const_cast<void*>(data)};
}

memory scratchpad(const memory::desc& description) {
  return view(description, onednn::scratch(Slot::primitive, description.get_size()));
}

/// A primitive and what goes around it: a reorder of the weight (or of its gradient) between our layout and its own.
struct Prepared {
  memory::desc weight, scratchpad;
  dnnl::primitive primitive;
  dnnl::reorder reorder;
};

dnnl::convolution_forward::primitive_desc describe_forward(const Problem& problem) {
  const auto prop = dnnl::prop_kind::forward_training;
  const auto direct = dnnl::algorithm::convolution_direct;
  const memory::desc x = problem.x_memory(), y = problem.y_memory();
  const memory::desc weight = problem.weight_memory(memory::format_tag::any);
  const auto description =
      problem.has_bias ? dnnl::convolution_forward::desc(prop, direct, x, weight, problem.bias_memory(), y,
                                                         problem.strides(), problem.pad_before(), problem.pad_after())
                       : dnnl::convolution_forward::desc(prop, direct, x, weight, y, problem.strides(),
                                                         problem.pad_before(), problem.pad_after());
  return {description, attributes(problem.adds_to_output), onednn::engine()};
}

Prepared prepare_forward(const Problem& problem) {
  const auto description = describe_forward(problem);
  const auto plain = problem.weight_memory(memory::format_tag::ohwi);
  return {description.weights_desc(), description.scratchpad_desc(), dnnl::convolution_forward(description),
          dnnl::reorder({onednn::engine(), plain, onednn::engine(), description.weights_desc()})};
}

Prepared prepare_data_gradient(Problem problem) {
  problem.has_bias = problem.adds_to_output = false;
  const dnnl::convolution_backward_data::primitive_desc description(
      {dnnl::algorithm::convolution_direct, problem.x_memory(), problem.weight_memory(memory::format_tag::any),
       problem.y_memory(), problem.strides(), problem.pad_before(), problem.pad_after()},
      attributes(false), onednn::engine(), describe_forward(problem));
  const auto plain = problem.weight_memory(memory::format_tag::ohwi);
  return {description.weights_desc(), description.scratchpad_desc(), dnnl::convolution_backward_data(description),
          dnnl::reorder({onednn::engine(), plain, onednn::engine(), description.weights_desc()})};
}

Prepared prepare_filter_gradient(Problem problem) {
  problem.adds_to_output = false;
  const auto direct = dnnl::algorithm::convolution_direct;
  const memory::desc x = problem.x_memory(), y = problem.y_memory();
  const memory::desc weight = problem.weight_memory(memory::format_tag::any);
  const auto operation =
      problem.has_bias
          ? dnnl::convolution_backward_weights::desc(direct, x, weight, problem.bias_memory(), y, problem.strides(),
                                                     problem.pad_before(), problem.pad_after())
          : dnnl::convolution_backward_weights::desc(direct, x, weight, y, problem.strides(), problem.pad_before(),
                                                     problem.pad_after());
  const dnnl::convolution_backward_weights::primitive_desc description(operation, attributes(false), onednn::engine(),
                                                                       describe_forward(problem));
  const auto plain = problem.weight_memory(memory::format_tag::ohwi);
  return {description.diff_weights_desc(), description.scratchpad_desc(),
          dnnl::convolution_backward_weights(description),
          dnnl::reorder({onednn::engine(), description.diff_weights_desc(), onednn::engine(), plain})};
}

memory packed_weight(const Prepared& prepared, const Problem& problem, const float* weight) {
  memory plain = view(problem.weight_memory(memory::format_tag::ohwi), weight);
  memory packed = view(prepared.weight, onednn::scratch(Slot::packed, prepared.weight.get_size()));
  prepared.reorder.execute(onednn::stream(), plain, packed);
  return packed;
}

void run_forward(const Problem& problem, const float* x, const float* weight, const float* bias, float* y) {
  thread_local onednn::LruCache<Key, Prepared> cache(cached_primitives);
  const Prepared& prepared = cache.get(problem.key(), [&] { return prepare_forward(problem); });
  prepared.primitive.execute(onednn::stream(), {{DNNL_ARG_SRC, view(problem.x_memory(), x)},
                                                {DNNL_ARG_WEIGHTS, packed_weight(prepared, problem, weight)},
                                                {DNNL_ARG_BIAS, view(problem.bias_memory(), bias)},
                                                {DNNL_ARG_DST, view(problem.y_memory(), y)},
                                                {DNNL_ARG_SCRATCHPAD, scratchpad(prepared.scratchpad)}});
}

/// (O, kernel_h, kernel_w, I) to (I, kernel_h, kernel_w, O), turned by 180 degrees.
const float* turned(const Array& weight) {
  const std::int64_t out = weight.shape[0], taps = weight.shape.count_between(1, 3), in = weight.shape[3];
  const float* from = weight.as<float>();
  float* to = onednn::scratch_floats(Slot::transformed, weight.count());
  for (std::int64_t i = 0; i < in; ++i)
    for (std::int64_t tap = 0; tap < taps; ++tap)
      for (std::int64_t o = 0; o < out; ++o)
        to[(i * taps + tap) * out + o] = from[(o * taps + taps - 1 - tap) * in + i];
  return to;
}

/// to += from
void add(const float* from, float* to, std::int64_t count) {
  parallel_for(count, 16384, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) to[i] += from[i];
  });
}

}  // namespace

void forward(const Conv2dForward& arguments) {
  const auto& [x, weight, bias, residual, y, geometry] = arguments;
  if (residual && residual.data != y.data) {
    parallel_for(y.count(), 16384, [&](std::int64_t first, std::int64_t last) {
      std::copy(residual.as<float>() + first, residual.as<float>() + last, y.as<float>() + first);
    });
  }
  onednn::checked("conv2d_forward", [&] {
    run_forward({x.shape, weight.shape, y.shape, geometry, static_cast<bool>(bias), static_cast<bool>(residual)},
                x.as<float>(), weight.as<float>(), bias ? bias.as<float>() : nullptr, y.as<float>());
  });
}

void data_gradient(const Conv2dDataGradient& arguments) {
  const auto& [grad_y, weight, grad_x, geometry, write] = arguments;
  const bool accumulate = write == Write::accumulate;
  const int taps_h = static_cast<int>(weight.shape[1]), taps_w = static_cast<int>(weight.shape[2]);
  onednn::checked("conv2d_data_gradient", [&] {
    if (geometry.stride == 1 && std::max(geometry.pad_top, geometry.pad_bottom) < taps_h &&
        std::max(geometry.pad_left, geometry.pad_right) < taps_w) {
      const Conv2dGeometry turned_geometry{
          .stride = 1, .pad_top = taps_h - 1 - geometry.pad_top, .pad_left = taps_w - 1 - geometry.pad_left};
      run_forward({grad_y.shape, Shape({weight.shape[3], taps_h, taps_w, weight.shape[0]}), grad_x.shape,
                   turned_geometry, false, accumulate},
                  grad_y.as<float>(), turned(weight), nullptr, grad_x.as<float>());
      return;
    }
    const Problem problem{grad_x.shape, weight.shape, grad_y.shape, geometry, false, false};
    thread_local onednn::LruCache<Key, Prepared> cache(cached_primitives);
    const Prepared& prepared = cache.get(problem.key(), [&] { return prepare_data_gradient(problem); });
    float* result = accumulate ? onednn::scratch_floats(Slot::product, grad_x.count()) : grad_x.as<float>();
    prepared.primitive.execute(onednn::stream(),
                               {{DNNL_ARG_DIFF_DST, view(problem.y_memory(), grad_y.as<float>())},
                                {DNNL_ARG_WEIGHTS, packed_weight(prepared, problem, weight.as<float>())},
                                {DNNL_ARG_DIFF_SRC, view(problem.x_memory(), result)},
                                {DNNL_ARG_SCRATCHPAD, scratchpad(prepared.scratchpad)}});
    if (accumulate) add(result, grad_x.as<float>(), grad_x.count());
  });
}

void filter_gradient(const Conv2dFilterGradient& arguments) {
  const auto& [x, grad_y, grad_weight, grad_bias, geometry, write] = arguments;
  const bool accumulate = write == Write::accumulate;
  const Problem problem{x.shape, grad_weight.shape, grad_y.shape, geometry, static_cast<bool>(grad_bias), false};
  onednn::checked("conv2d_filter_gradient", [&] {
    thread_local onednn::LruCache<Key, Prepared> cache(cached_primitives);
    const Prepared& prepared = cache.get(problem.key(), [&] { return prepare_filter_gradient(problem); });
    const std::int64_t weights = grad_weight.count(), channels = grad_weight.shape[0];
    float* plain = onednn::scratch_floats(Slot::product, weights + channels);
    float* weight_result = accumulate ? plain : grad_weight.as<float>();
    float* bias_result = accumulate ? plain + weights : (grad_bias ? grad_bias.as<float>() : nullptr);
    memory packed = view(prepared.weight, onednn::scratch(Slot::packed, prepared.weight.get_size()));
    prepared.primitive.execute(onednn::stream(), {{DNNL_ARG_SRC, view(problem.x_memory(), x.as<float>())},
                                                  {DNNL_ARG_DIFF_DST, view(problem.y_memory(), grad_y.as<float>())},
                                                  {DNNL_ARG_DIFF_WEIGHTS, packed},
                                                  {DNNL_ARG_DIFF_BIAS, view(problem.bias_memory(), bias_result)},
                                                  {DNNL_ARG_SCRATCHPAD, scratchpad(prepared.scratchpad)}});
    memory unpacked = view(problem.weight_memory(memory::format_tag::ohwi), weight_result);
    prepared.reorder.execute(onednn::stream(), packed, unpacked);
    if (accumulate) {
      add(weight_result, grad_weight.as<float>(), weights);
      if (grad_bias) add(bias_result, grad_bias.as<float>(), channels);
    }
  });
}

}  // namespace tweedie::conv2d_onednn
