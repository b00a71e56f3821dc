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

/// How a forward primitive adds the residual: not at all, from its own array, or to what the output holds already.
enum class Residual : std::uint8_t { none, separate, in_output };

/// The kernels that read a residual of its own are a little slower than those that add to the output, but past the
/// caches copying it there first costs more.
constexpr std::int64_t copied_residual = 12 << 20;  // bytes

struct Problem {
  Shape x, weight, y;
  Conv2dGeometry geometry;
  bool has_bias = false;
  Residual residual = Residual::none;

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
            static_cast<std::int64_t>(residual)};
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

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
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
  dnnl::primitive_attr with_residual = attributes();
  dnnl::post_ops operations;
  if (problem.residual == Residual::in_output) operations.append_sum();
  if (problem.residual == Residual::separate) operations.append_binary(dnnl::algorithm::binary_add, y);
  with_residual.set_post_ops(operations);
  return {description, with_residual, onednn::engine()};
}

Prepared prepare_forward(const Problem& problem) {
  const auto description = describe_forward(problem);
  const auto plain = problem.weight_memory(memory::format_tag::ohwi);
  return {description.weights_desc(), description.scratchpad_desc(), dnnl::convolution_forward(description),
          dnnl::reorder({onednn::engine(), plain, onednn::engine(), description.weights_desc()})};
}

Prepared prepare_data_gradient(const Problem& problem) {
  const dnnl::convolution_backward_data::primitive_desc description(
      {dnnl::algorithm::convolution_direct, problem.x_memory(), problem.weight_memory(memory::format_tag::any),
       problem.y_memory(), problem.strides(), problem.pad_before(), problem.pad_after()},
      attributes(), onednn::engine(), describe_forward(problem));
  const auto plain = problem.weight_memory(memory::format_tag::ohwi);
  return {description.weights_desc(), description.scratchpad_desc(), dnnl::convolution_backward_data(description),
          dnnl::reorder({onednn::engine(), plain, onednn::engine(), description.weights_desc()})};
}

Prepared prepare_filter_gradient(const Problem& problem) {
  const auto direct = dnnl::algorithm::convolution_direct;
  const memory::desc x = problem.x_memory(), y = problem.y_memory();
  const memory::desc weight = problem.weight_memory(memory::format_tag::any);
  const auto operation =
      problem.has_bias
          ? dnnl::convolution_backward_weights::desc(direct, x, weight, problem.bias_memory(), y, problem.strides(),
                                                     problem.pad_before(), problem.pad_after())
          : dnnl::convolution_backward_weights::desc(direct, x, weight, y, problem.strides(), problem.pad_before(),
                                                     problem.pad_after());
  const dnnl::convolution_backward_weights::primitive_desc description(operation, attributes(), onednn::engine(),
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

/// to += from
void add(const float* from, float* to, std::int64_t count) {
  parallel_for(count, 16384, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) to[i] += from[i];
  });
}

}  // namespace

void forward(const Conv2dForward& arguments) {
  const auto& [x, weight, bias, residual, y, geometry, activation] = arguments;
  Residual kind = Residual::none;
  if (residual && residual.data == y.data) {
    kind = Residual::in_output;
  } else if (residual && y.bytes() > copied_residual) {
    kind = Residual::separate;
  } else if (residual) {
    kind = Residual::in_output;
    parallel_for(y.count(), 16384, [&](std::int64_t first, std::int64_t last) {
      std::copy(residual.as<float>() + first, residual.as<float>() + last, y.as<float>() + first);
    });
  }
  const Problem problem{x.shape, weight.shape, y.shape, geometry, static_cast<bool>(bias), kind};
  onednn::checked("conv2d_forward", [&] {
    thread_local onednn::LruCache<Key, Prepared> cache(cached_primitives);
    const Prepared& prepared = cache.get(problem.key(), [&] { return prepare_forward(problem); });
    const float* bias_data = bias ? bias.as<float>() : nullptr;
    const float* added = kind == Residual::separate ? residual.as<float>() : nullptr;
    prepared.primitive.execute(onednn::stream(),
                               {{DNNL_ARG_SRC, view(problem.x_memory(), x.as<float>())},
                                {DNNL_ARG_WEIGHTS, packed_weight(prepared, problem, weight.as<float>())},
                                {DNNL_ARG_BIAS, view(problem.bias_memory(), bias_data)},
                                {DNNL_ARG_DST, view(problem.y_memory(), y.as<float>())},
                                {DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, view(problem.y_memory(), added)},
                                {DNNL_ARG_SCRATCHPAD, scratchpad(prepared.scratchpad)}});
  });
}

void data_gradient(const Conv2dDataGradient& arguments) {
  const auto& [grad_y, weight, grad_x, geometry, write] = arguments;
  const bool accumulate = write == Write::accumulate;
  const Problem problem{grad_x.shape, weight.shape, grad_y.shape, geometry};
  onednn::checked("conv2d_data_gradient", [&] {
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
  const Problem problem{x.shape, grad_weight.shape, grad_y.shape, geometry, static_cast<bool>(grad_bias)};
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
