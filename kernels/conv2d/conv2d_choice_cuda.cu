#include "kernels/conv2d/conv2d_cuda.h"
#include "kernels/runtime/autotuner.h"
#include "kernels/runtime/cuda_choices.h"
#include "kernels/runtime/cuda_stream.h"
#include "kernels/runtime/cudnn.h"

// Convolution on cuda: which implementation runs.
namespace tweedie::conv2d_cuda {
namespace {

std::string key_of(std::string_view operation, const Array& x, const Array& weight, const Array& y,
                   const Conv2dGeometry& geometry) {
  const auto& [stride, top, left, bottom, right] = geometry;
  return fmt::format("{} {}{} x {} weight {} y {} stride {} padding {} {} {} {}", operation, name_of(x.dtype),
                     cuda_choices().tf32 && x.dtype == DType::float32 ? " as TF32" : "", x.shape, weight.shape, y.shape,
                     stride, top, left, bottom, right);
}

std::string_view added(Write write) {
  return write == Write::accumulate ? " add" : "";
}

// What the autotuner calls a call.
std::string key_of(const Conv2dForward& a) {
  return fmt::format("{}{}{}{}{}", key_of("conv2d_forward", a.x, a.weight, a.y, a.geometry), a.bias ? " bias" : "",
                     a.residual ? a.residual.data == a.y.data ? " in-place" : " residual" : "", a.activation ? " " : "",
                     a.activation ? name_of(*a.activation) : "");
}
std::string key_of(const Conv2dDataGradient& a) {
  return fmt::format("{}{}", key_of("conv2d_data_gradient", a.grad_x, a.weight, a.grad_y, a.geometry), added(a.write));
}
std::string key_of(const Conv2dFilterGradient& a) {
  return fmt::format("{}{}{}", key_of("conv2d_filter_gradient", a.x, a.grad_weight, a.grad_y, a.geometry),
                     a.grad_bias ? " bias" : "", added(a.write));
}

/// Memory of its own for each result, zeroed.
class Aside {
 public:
  explicit Aside(Stream& stream) : stream_(stream) {}
  Array operator()(const Array& result) {
    if (!result) return result;
    const auto bytes = static_cast<std::size_t>(result.bytes());
    memory_.push_back(std::make_unique<Scratch>(stream_, bytes));
    stream_.zero(memory_.back()->as<void>(), bytes);
    return {memory_.back()->as<void>(), result.shape, result.dtype};
  }

 private:
  Stream& stream_;
  std::vector<std::unique_ptr<Scratch>> memory_;
};
Conv2dForward with_results(Conv2dForward a, Aside& aside) {
  const bool in_place = a.residual.data == a.y.data;
  a.y = aside(a.y);
  if (in_place) a.residual.data = a.y.data;
  return a;
}
Conv2dDataGradient with_results(Conv2dDataGradient a, Aside& aside) {
  a.grad_x = aside(a.grad_x);
  return a;
}
Conv2dFilterGradient with_results(Conv2dFilterGradient a, Aside& aside) {
  a.grad_weight = aside(a.grad_weight);
  a.grad_bias = aside(a.grad_bias);
  return a;
}

template <class Arguments>
using Function = void (*)(Stream&, const Arguments&);

template <class Arguments>
bool library_is_faster(Stream& stream, const Arguments& arguments, Function<Arguments> native,
                       Function<Arguments> library) {
  if (!why_unavailable(CudaLibrary::cudnn, stream.device()).empty()) return false;
  const std::string card = fmt::format("{}, cuDNN {}", cuda_properties(stream).name, cudnn::context(stream).version());
  const std::string key = key_of(arguments);
  if (is_capturing(stream)) return autotuner().library_is_recorded(card, key);
  return autotuner().library_is_faster(stream, card, key, [&] {
    const auto memory = std::make_shared<Aside>(stream);
    const Arguments aside = with_results(arguments, *memory);
    return Autotuner::Candidates{[&stream, aside, memory, native] { native(stream, aside); },
                                 [&stream, aside, memory, library] { library(stream, aside); }};
  });
}

template <class Arguments>
void run(Stream& stream, const Arguments& arguments, Function<Arguments> native, Function<Arguments> library) {
  const Implementation choice = cuda_choices().conv2d;
  const bool use_library = choice == Implementation::library ||
                           (choice == Implementation::fastest && library_is_faster(stream, arguments, native, library));
  (use_library ? library : native)(stream, arguments);
}

const bool registered = conv2d_forward.implement(DeviceKind::cuda, [](Stream& stream, const Conv2dForward& arguments) {
  run(stream, arguments, &forward_native, &forward_cudnn);
}) && conv2d_data_gradient.implement(DeviceKind::cuda, [](Stream& stream, const Conv2dDataGradient& arguments) {
  run(stream, arguments, &data_gradient_native, &data_gradient_cudnn);
}) && conv2d_filter_gradient.implement(DeviceKind::cuda, [](Stream& stream, const Conv2dFilterGradient& arguments) {
  // cuDNN would round sums of bfloat16 operands to bfloat16.
  if (arguments.x.dtype == DType::bfloat16) return filter_gradient_native(stream, arguments);
  run(stream, arguments, &filter_gradient_native, &filter_gradient_cudnn);
});

}  // namespace
}  // namespace tweedie::conv2d_cuda
