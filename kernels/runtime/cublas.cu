#include "kernels/runtime/cublas.h"

#include "kernels/runtime/cuda.h"
#include "kernels/runtime/opened_library.h"

namespace tweedie::cublas {
namespace {

std::string text_of(const Context& context, Status status) {
  return status_text(context.status_name == nullptr ? nullptr : context.status_name(status), status);
}

OpenedLibrary<Context> open(Device device) {
  static SharedLibrary library("libcublas.so.13"), light("libcublasLt.so.13");
  OpenedLibrary<Context> opened;
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
    opened.problem = fmt::format("cublasCreate gave {}", text_of(c, status));
  else if (const Status status = create_light(&c.handle); status != success)
    opened.problem = fmt::format("cublasLtCreate gave {}", text_of(c, status));
  return opened;
}

const bool registered =
    register_library(CudaLibrary::cublas, [](Device device) { return opened_on(device, open).problem; });

}  // namespace

const Context& context(Stream& stream) {
  return opened_on(stream.device(), open).for_use_by("matmul by cuBLAS");
}

void check(const Context& context, Status status, std::string_view call, std::string_view operands, const char* file,
           int line) {
  require(status == success, "{} of {}: {} at {}:{}", call, operands, text_of(context, status), file, line);
}

}  // namespace tweedie::cublas
