#include "kernels/runtime/cublas.h"

#include <map>
#include <memory>
#include <mutex>

#include "kernels/runtime/cuda.h"

namespace tweedie::cublas {
namespace {

/// cuBLAS on one device, or why it cannot be used there. Never destroyed: the device may be gone before static storage
/// is.
struct Opened {
  Context context = {};
  std::string problem;
};

std::string status_text(const Context& context, Status status) {
  const char* name = context.status_name == nullptr ? nullptr : context.status_name(status);
  return name == nullptr ? fmt::format("status {}", status) : fmt::format("{} ({})", name, status);
}

Opened open(Device device) {
  static SharedLibrary library("libcublas.so.13"), light("libcublasLt.so.13");
  Opened opened;
  Context& c = opened.context;
  Status (*create)(void**) = nullptr;
  Status (*create_light)(Handle*) = nullptr;
  library.find(create, "cublasCreate_v2");
  library.find(c.status_name, "cublasGetStatusName");
  light.find(create_light, "cublasLtCreate");
  light.find(c.version, "cublasLtGetVersion");
  light.find(c.create_description, "cublasLtMatmulDescCreate");
  light.find(c.set_description, "cublasLtMatmulDescSetAttribute");
  light.find(c.create_layout, "cublasLtMatrixLayoutCreate");
  light.find(c.set_layout, "cublasLtMatrixLayoutSetAttribute");
  light.find(c.create_preference, "cublasLtMatmulPreferenceCreate");
  light.find(c.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  light.find(c.destroy_preference, "cublasLtMatmulPreferenceDestroy");
  light.find(c.find_algorithm, "cublasLtMatmulAlgoGetHeuristic");
  light.find(c.multiply, "cublasLtMatmul");
  opened.problem = library.problem().empty() ? light.problem() : library.problem();
  if (!opened.problem.empty()) return opened;
  default_stream(device);  // makes the device current, and its context
  // cuBLAS's own handle is not used further; it says best whether the library and the driver go together.
  void* handle = nullptr;
  if (const Status status = create(&handle); status != success)
    opened.problem = fmt::format("cublasCreate gave {}", status_text(c, status));
  else if (const Status status = create_light(&c.handle); status != success)
    opened.problem = fmt::format("cublasLtCreate gave {}", status_text(c, status));
  return opened;
}

const Opened& opened_on(Device device) {
  static std::mutex mutex;
  static auto& devices = *new std::map<int, Opened>;
  const std::lock_guard lock(mutex);
  const auto found = devices.find(device.index);
  return found != devices.end() ? found->second : devices.emplace(device.index, open(device)).first->second;
}

const bool registered = register_library(CudaLibrary::cublas, [](Device device) { return opened_on(device).problem; });

}  // namespace

const Context& context(Stream& stream) {
  const Opened& opened = opened_on(stream.device());
  require(opened.problem.empty(), "matmul by cuBLAS: {}", opened.problem);
  return opened.context;
}

void check(const Context& context, Status status, std::string_view call, std::string_view operands, const char* file,
           int line) {
  require(status == success, "{} of {}: {} at {}:{}", call, operands, status_text(context, status), file, line);
}

}  // namespace tweedie::cublas
