#include <array>
#include <map>
#include <vector>

#include "kernels/activation/activation_cuda.h"
#include "kernels/conv2d/conv2d_cuda.h"
#include "kernels/conv2d/conv2d_steps_cuda.h"
#include "kernels/runtime/cuda.h"
#include "kernels/runtime/cuda_choices.h"
#include "kernels/runtime/cudnn.h"

// Convolution by cuDNN's forward, data-gradient and filter-gradient entry points. Its algorithms are those that form
// sums of products, each in a fixed order: no Winograd or FFT transforms, which round otherwise, and no atomics.
namespace tweedie::conv2d_cuda {
namespace {

using cudnn::Context;

enum class Direction : std::uint8_t { forward, data_gradient, filter_gradient };
constexpr std::size_t workspace_limit = std::size_t{512} << 20;
constexpr int algorithms_asked = 16;

/// IMPLICIT_GEMM, IMPLICIT_PRECOMP_GEMM and GEMM; ALGO_1 of the gradients.
bool sums_products(Direction direction, int algorithm) {
  return direction == Direction::forward ? algorithm <= 2 : algorithm == 1;
}

/// One direction as cuDNN takes it, padding the same on opposite sides.
struct Problem {
  Direction direction;
  DType dtype;
  Shape x, weight, y;
  int stride, pad_top, pad_left;
  std::string text() const {
    return fmt::format("{} x {} weight {} y {} stride {} padding {} {}", name_of(dtype), x, weight, y, stride, pad_top,
                       pad_left);
  }
};

/// Everything about a problem but its addresses. Kept for as long as the program runs: a network has a few dozen.
struct Plan {
  cudnn::TensorDescription x = nullptr, y = nullptr;
  cudnn::FilterDescription weight = nullptr;
  cudnn::Description convolution = nullptr;
  int algorithm = 0;
  std::size_t workspace_bytes = 0;
};

/// Calls of cuDNN on behalf of one problem.
class Call {
 public:
  Call(Stream& stream, const Problem& problem)
      : stream_(stream), context_(cudnn::context(stream)), problem_(problem), plan_(plan()) {}

  /// The result (x, weight or y, as the direction has it) = the convolution + beta times the result.
  void run(const void* first, const void* second, void* result, bool add) const {
    ++calls_of(CudaLibrary::cudnn);
    const float one = 1.0f, beta = add ? 1.0f : 0.0f;
    const Scratch workspace(stream_, plan_.workspace_bytes);
    const auto& [x, y, weight, convolution, algorithm, bytes] = plan_;
    const Context& c = context_;
    switch (problem_.direction) {
      case Direction::forward:
        return check(c.forward(c.handle, &one, x, first, weight, second, convolution, algorithm, workspace.as<void>(),
                               bytes, &beta, y, result),
                     "cudnnConvolutionForward");
      case Direction::data_gradient:
        return check(c.data_gradient(c.handle, &one, weight, first, y, second, convolution, algorithm,
                                     workspace.as<void>(), bytes, &beta, x, result),
                     "cudnnConvolutionBackwardData");
      case Direction::filter_gradient:
        return check(c.filter_gradient(c.handle, &one, x, first, y, second, convolution, algorithm,
                                       workspace.as<void>(), bytes, &beta, weight, result),
                     "cudnnConvolutionBackwardFilter");
    }
  }

 private:
  void check(cudnn::Status status, std::string_view call, const char* file = __builtin_FILE(),
             int line = __builtin_LINE()) const {
    if (status != cudnn::success) cudnn::check(context_, status, call, problem_.text(), file, line);
  }

  const Plan& plan() const {
    using Key = std::array<std::int64_t, 16>;
    static auto& plans = *new std::map<Key, Plan>;
    const auto& [direction, dtype, x, weight, y, stride, top, left] = problem_;
    const Key key = {stream_.device().index,
                     static_cast<std::int64_t>(direction),
                     static_cast<std::int64_t>(dtype),
                     cuda_choices().tf32,
                     x[0],
                     x[1],
                     x[2],
                     x[3],
                     weight[0],
                     weight[1],
                     weight[2],
                     y[1],
                     y[2],
                     stride,
                     top,
                     left};
    const auto found = plans.find(key);
    return found != plans.end() ? found->second : plans.emplace(key, make_plan()).first->second;
  }

  Plan make_plan() const {
    Plan plan;
    const Context& c = context_;
    const bool bfloat16 = problem_.dtype == DType::bfloat16;
    const int type = bfloat16 ? cudnn::data_bfloat16 : cudnn::data_float;
    const auto describe = [&](cudnn::TensorDescription& tensor, const Shape& shape) {
      check(c.create_tensor(&tensor), "cudnnCreateTensorDescriptor");
      check(c.set_tensor(tensor, cudnn::tensor_nhwc, type, extent(shape, 0), extent(shape, 3), extent(shape, 1),
                         extent(shape, 2)),
            "cudnnSetTensor4dDescriptor");
    };
    describe(plan.x, problem_.x);
    describe(plan.y, problem_.y);
    const Shape& weight = problem_.weight;
    check(c.create_filter(&plan.weight), "cudnnCreateFilterDescriptor");
    check(c.set_filter(plan.weight, type, cudnn::tensor_nhwc, extent(weight, 0), extent(weight, 3), extent(weight, 1),
                       extent(weight, 2)),
          "cudnnSetFilter4dDescriptor");
    check(c.create_convolution(&plan.convolution), "cudnnCreateConvolutionDescriptor");
    check(c.set_convolution(plan.convolution, problem_.pad_top, problem_.pad_left, problem_.stride, problem_.stride, 1,
                            1, cudnn::cross_correlation, cudnn::data_float),
          "cudnnSetConvolution2dDescriptor");
    check(c.set_math(plan.convolution, bfloat16 || cuda_choices().tf32 ? cudnn::default_math : cudnn::fma_math),
          "cudnnSetConvolutionMathType");
    choose_algorithm(plan);
    return plan;
  }

  /// The first that will do, of those that cuDNN lists by the speed it expects.
  void choose_algorithm(Plan& plan) const {
    std::vector<cudnn::Performance> list(algorithms_asked);
    int found = 0;
    const Context& c = context_;
    switch (problem_.direction) {
      case Direction::forward:
        check(c.find_forward(c.handle, plan.x, plan.weight, plan.convolution, plan.y, algorithms_asked, &found,
                             list.data()),
              "cudnnGetConvolutionForwardAlgorithm_v7");
        break;
      case Direction::data_gradient:
        check(c.find_data_gradient(c.handle, plan.weight, plan.y, plan.convolution, plan.x, algorithms_asked, &found,
                                   list.data()),
              "cudnnGetConvolutionBackwardDataAlgorithm_v7");
        break;
      case Direction::filter_gradient:
        check(c.find_filter_gradient(c.handle, plan.x, plan.y, plan.convolution, plan.weight, algorithms_asked, &found,
                                     list.data()),
              "cudnnGetConvolutionBackwardFilterAlgorithm_v7");
        break;
    }
    for (int i = 0; i < found; ++i) {
      const cudnn::Performance& offer = list[static_cast<std::size_t>(i)];
      if (offer.status != cudnn::success || offer.determinism != cudnn::deterministic ||
          offer.memory > workspace_limit || !sums_products(problem_.direction, offer.algorithm))
        continue;
      plan.algorithm = offer.algorithm;
      plan.workspace_bytes = offer.memory;
      return;
    }
    fail("conv2d: cuDNN has no deterministic algorithm within {} bytes for {}", workspace_limit, problem_.text());
  }

  int extent(const Shape& shape, int axis) const {
    require(shape[axis] < 0x7fffffff, "conv2d: an extent of {} is more than cuDNN counts to", shape[axis]);
    return static_cast<int>(shape[axis]);
  }

  Stream& stream_;
  const Context& context_;
  const Problem& problem_;
  const Plan& plan_;
};

/// An operand where cuDNN may use it: itself, or a copy where it does not start at a multiple of 16 bytes.
class Aligned {
 public:
  enum class Use : std::uint8_t { read, write, add };
  Aligned(Stream& stream, const Array& array, Use use)
      : stream_(stream),
        own_(array),
        copied_(!aligned_16(array.data)),
        scratch_(stream, copied_ ? static_cast<std::size_t>(array.bytes()) : 0),
        array_{copied_ ? scratch_.as<void>() : array.data, array.shape, array.dtype} {
    if (copied_ && use != Use::write) stream.copy(array_.data, own_.data, static_cast<std::size_t>(own_.bytes()));
  }
  const Array& array() const { return array_; }
  void* data() const { return array_.data; }
  /// Once the result stands in data().
  void written() const {
    if (copied_) stream_.copy(own_.data, array_.data, static_cast<std::size_t>(own_.bytes()));
  }

 private:
  Stream& stream_;
  Array own_;
  bool copied_;
  Scratch scratch_;
  Array array_;
};

/// x where opposite sides have padding that cuDNN cannot express: x with its padding, as an image without.
class Padded {
 public:
  Padded(Stream& stream, const Array& x, const Array& weight, const Array& y, const Conv2dGeometry& geometry)
      : needed_(!expressible(x, weight, y, geometry)),
        scratch_(stream, needed_ ? static_cast<std::size_t>(shape_of(x, geometry).count()) * size_of(x.dtype) : 0),
        array_{scratch_.as<void>(), shape_of(x, geometry), x.dtype} {}
  bool needed() const { return needed_; }
  const Array& array() const { return array_; }

 private:
  /// cuDNN pads the far sides as it pads the near ones. That is the same convolution where the number of outputs is:
  /// the windows then are.
  static bool expressible(const Array& x, const Array& weight, const Array& y, const Conv2dGeometry& geometry) {
    const auto& [stride, top, left, bottom, right] = geometry;
    return (top == bottom || same_outputs(x.shape[1], weight.shape[1], stride, top, y.shape[1])) &&
           (left == right || same_outputs(x.shape[2], weight.shape[2], stride, left, y.shape[2]));
  }
  static bool same_outputs(std::int64_t in, std::int64_t kernel, int stride, int pad, std::int64_t out) {
    return in + 2 * pad >= kernel && conv2d_output_extent(in, kernel, stride, pad, pad) == out;
  }
  static Shape shape_of(const Array& x, const Conv2dGeometry& geometry) {
    return {x.shape[0], x.shape[1] + geometry.pad_top + geometry.pad_bottom,
            x.shape[2] + geometry.pad_left + geometry.pad_right, x.shape[3]};
  }

  bool needed_;
  Scratch scratch_;
  Array array_;
};

Problem problem_of(Direction direction, const Array& x, const Padded& padded, const Array& weight, const Array& y,
                   const Conv2dGeometry& geometry) {
  return {direction,
          x.dtype,
          padded.needed() ? padded.array().shape : x.shape,
          weight.shape,
          y.shape,
          geometry.stride,
          padded.needed() ? 0 : geometry.pad_top,
          padded.needed() ? 0 : geometry.pad_left};
}

bool any_empty(const Array& x, const Array& weight, const Array& y) {
  return x.count() == 0 || weight.count() == 0 || y.count() == 0;
}

void require_type(const Array& x) {
  require(x.dtype == DType::float32 || x.dtype == DType::bfloat16,
          "conv2d: operands are {}, expected float32 or bfloat16 on cuda", name_of(x.dtype));
}

}  // namespace

// Empty sums, which cuDNN does not take, are left to the native kernels.

void forward_cudnn(Stream& stream, const Conv2dForward& arguments) {
  const auto& [x, weight, bias, residual, y, geometry, activation] = arguments;
  require_type(x);
  if (any_empty(x, weight, y)) return forward_native(stream, arguments);
  const Padded padded(stream, x, weight, y, geometry);
  if (padded.needed()) pad_image(stream, x, padded.array(), geometry);
  const Aligned image(stream, padded.needed() ? padded.array() : x, Aligned::Use::read);
  const Aligned filter(stream, weight, Aligned::Use::read), result(stream, y, Aligned::Use::write);
  if (bias || (residual && residual.data != result.data())) seed_output(stream, bias, residual, result.array());
  const Problem problem = problem_of(Direction::forward, x, padded, weight, y, geometry);
  Call(stream, problem).run(image.data(), filter.data(), result.data(), bias || residual);
  result.written();
  if (activation) activate_on_cuda(stream, {.kind = *activation, .x = y, .y = y});
}

void data_gradient_cudnn(Stream& stream, const Conv2dDataGradient& arguments) {
  const auto& [grad_y, weight, grad_x, geometry, write] = arguments;
  require_type(grad_y);
  if (any_empty(grad_x, weight, grad_y)) return data_gradient_native(stream, arguments);
  const bool add = write == Write::accumulate;
  const Padded padded(stream, grad_x, weight, grad_y, geometry);
  if (padded.needed() && add) pad_image(stream, grad_x, padded.array(), geometry);
  const Aligned filter(stream, weight, Aligned::Use::read), gradient(stream, grad_y, Aligned::Use::read);
  const Aligned result(stream, padded.needed() ? padded.array() : grad_x,
                       add ? Aligned::Use::add : Aligned::Use::write);
  const Problem problem = problem_of(Direction::data_gradient, grad_x, padded, weight, grad_y, geometry);
  Call(stream, problem).run(filter.data(), gradient.data(), result.data(), add);
  result.written();
  if (padded.needed()) crop_image(stream, padded.array(), grad_x, geometry);
}

void filter_gradient_cudnn(Stream& stream, const Conv2dFilterGradient& arguments) {
  const auto& [x, grad_y, grad_weight, grad_bias, geometry, write] = arguments;
  require(x.dtype == DType::float32, "conv2d: cuDNN has no filter gradient of {} operands whose result is float32",
          name_of(x.dtype));
  if (any_empty(x, grad_weight, grad_y)) return filter_gradient_native(stream, arguments);
  const bool add = write == Write::accumulate;
  const Padded padded(stream, x, grad_weight, grad_y, geometry);
  if (padded.needed()) pad_image(stream, x, padded.array(), geometry);
  const Aligned image(stream, padded.needed() ? padded.array() : x, Aligned::Use::read);
  const Aligned gradient(stream, grad_y, Aligned::Use::read);
  const Aligned result(stream, grad_weight, add ? Aligned::Use::add : Aligned::Use::write);
  const Problem problem = problem_of(Direction::filter_gradient, x, padded, grad_weight, grad_y, geometry);
  Call(stream, problem).run(image.data(), gradient.data(), result.data(), add);
  result.written();
  if (grad_bias) bias_gradient(stream, grad_y, grad_bias, write);
}

}  // namespace tweedie::conv2d_cuda
