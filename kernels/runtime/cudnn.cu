#include "kernels/runtime/cudnn.h"

#include "kernels/runtime/cuda.h"
#include "kernels/runtime/opened_library.h"

namespace tweedie::cudnn {
namespace {

std::string text_of(const Context& context, Status status) {
  return status_text(context.error_string == nullptr ? nullptr : context.error_string(status), status);
}

OpenedLibrary<Context> open(Device device) {
  static SharedLibrary library("libcudnn.so.9");
  OpenedLibrary<Context> opened;
  Context& c = opened.context;
  Status (*create)(Handle*) = nullptr;
  Status (*set_stream)(Handle, cudaStream_t) = nullptr;
  library.find(create, "cudnnCreate");
  library.find(set_stream, "cudnnSetStream");
  library.find(c.error_string, "cudnnGetErrorString");
  library.find(c.version, "cudnnGetVersion");
  library.find(c.create_tensor, "cudnnCreateTensorDescriptor");
  library.find(c.set_tensor, "cudnnSetTensor4dDescriptor");
  library.find(c.create_filter, "cudnnCreateFilterDescriptor");
  library.find(c.set_filter, "cudnnSetFilter4dDescriptor");
  library.find(c.create_convolution, "cudnnCreateConvolutionDescriptor");
  library.find(c.set_convolution, "cudnnSetConvolution2dDescriptor");
  library.find(c.set_math, "cudnnSetConvolutionMathType");
  library.find(c.find_forward, "cudnnGetConvolutionForwardAlgorithm_v7");
  library.find(c.find_data_gradient, "cudnnGetConvolutionBackwardDataAlgorithm_v7");
  library.find(c.find_filter_gradient, "cudnnGetConvolutionBackwardFilterAlgorithm_v7");
  library.find(c.forward, "cudnnConvolutionForward");
  library.find(c.data_gradient, "cudnnConvolutionBackwardData");
  library.find(c.filter_gradient, "cudnnConvolutionBackwardFilter");
  opened.problem = library.problem();
  if (!opened.problem.empty()) return opened;
  Stream& stream = default_stream(device);  // makes the device current, and its context
  if (const Status status = create(&c.handle); status != success)
    opened.problem = fmt::format("cudnnCreate gave {}", text_of(c, status));
  else if (const Status status = set_stream(c.handle, cuda_handle(stream)); status != success)
    opened.problem = fmt::format("cudnnSetStream gave {}", text_of(c, status));
  return opened;
}

const bool registered =
    register_library(CudaLibrary::cudnn, [](Device device) { return opened_on(device, open).problem; });

}  // namespace

const Context& context(Stream& stream) {
  return opened_on(stream.device(), open).for_use_by("conv2d by cuDNN");
}

void check(const Context& context, Status status, std::string_view call, std::string_view operands, const char* file,
           int line) {
  require(status == success, "{} of {}: {} at {}:{}", call, operands, text_of(context, status), file, line);
}

}  // namespace tweedie::cudnn
