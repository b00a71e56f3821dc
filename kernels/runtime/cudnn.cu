#include "kernels/runtime/cudnn.h"

#include <map>
#include <mutex>

#include "kernels/runtime/cuda.h"

namespace tweedie::cudnn {
namespace {

/// cuDNN on one device, or why it cannot be used there. Never destroyed: the device may be gone before static storage
/// is.
struct Opened {
  Context context = {};
  std::string problem;
};

std::string status_text(const Context& context, Status status) {
  const char* name = context.error_string == nullptr ? nullptr : context.error_string(status);
  return name == nullptr ? fmt::format("status {}", status) : fmt::format("{} ({})", name, status);
}

Opened open(Device device) {
  static SharedLibrary library("libcudnn.so.9");
  Opened opened;
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
    opened.problem = fmt::format("cudnnCreate gave {}", status_text(c, status));
  else if (const Status status = set_stream(c.handle, cuda_handle(stream)); status != success)
    opened.problem = fmt::format("cudnnSetStream gave {}", status_text(c, status));
  return opened;
}

const Opened& opened_on(Device device) {
  static std::mutex mutex;
  static auto& devices = *new std::map<int, Opened>;
  const std::lock_guard lock(mutex);
  const auto found = devices.find(device.index);
  return found != devices.end() ? found->second : devices.emplace(device.index, open(device)).first->second;
}

const bool registered = register_library(CudaLibrary::cudnn, [](Device device) { return opened_on(device).problem; });

}  // namespace

const Context& context(Stream& stream) {
  const Opened& opened = opened_on(stream.device());
  require(opened.problem.empty(), "conv2d by cuDNN: {}", opened.problem);
  return opened.context;
}

void check(const Context& context, Status status, std::string_view call, std::string_view operands, const char* file,
           int line) {
  require(status == success, "{} of {}: {} at {}:{}", call, operands, status_text(context, status), file, line);
}

}  // namespace tweedie::cudnn
