#include "kernels/matmul/matmul_cuda.h"
#include "kernels/runtime/autotuner.h"
#include "kernels/runtime/cublas.h"
#include "kernels/runtime/cuda_choices.h"
#include "kernels/runtime/cuda_stream.h"

// matmul on cuda: which implementation runs.
namespace tweedie {
namespace {

std::string key_of(const Matmul& arguments) {
  const auto& c = arguments.c.shape;
  return fmt::format("matmul {}{}{} b={} m={} n={} k={} {}{}{}{}{}{}{}{}", name_of(arguments.a.dtype),
                     cuda_choices().tf32 && arguments.a.dtype == DType::float32 ? " as TF32" : "",
                     has_wide_result(arguments) ? " to float32" : "", c[0], c[1], c[2],
                     arguments.a.shape[arguments.transpose_a ? 1 : 2], arguments.transpose_a ? "T" : "N",
                     arguments.transpose_b ? "T" : "N", arguments.b.shape[0] == 1 && c[0] > 1 ? " shared" : "",
                     arguments.bias ? " bias" : "", arguments.write == Write::accumulate ? " add" : "",
                     arguments.residual ? " residual" : "", arguments.activation ? " " : "",
                     arguments.activation ? name_of(*arguments.activation) : "");
}

bool library_is_faster(Stream& stream, const Matmul& arguments) {
  if (!why_unavailable(CudaLibrary::cublas, stream.device()).empty()) return false;
  const std::string card =
      fmt::format("{}, cuBLASLt {}", cuda_properties(stream).name, cublas::context(stream).version());
  const std::string key = key_of(arguments);
  if (is_capturing(stream)) return autotuner().library_is_recorded(card, key);
  const auto make = [&] {
    const auto result = std::make_shared<Scratch>(stream, static_cast<std::size_t>(arguments.c.bytes()));
    stream.zero(result->as<void>(), static_cast<std::size_t>(arguments.c.bytes()));
    Matmul aside = arguments;
    aside.c.data = result->as<void>();
    return Autotuner::Candidates{[&stream, aside, result] { matmul_native_cuda(stream, aside); },
                                 [&stream, aside, result] { matmul_cublas(stream, aside); }};
  };
  return autotuner().library_is_faster(stream, card, key, make);
}

void matmul_cuda(Stream& stream, const Matmul& arguments) {
  const Implementation choice = cuda_choices().matmul;
  const bool library =
      choice == Implementation::library ||
      (choice == Implementation::fastest && arguments.c.count() > 0 && library_is_faster(stream, arguments));
  (library ? matmul_cublas : matmul_native_cuda)(stream, arguments);
}

const bool registered = matrix_multiply.implement(DeviceKind::cuda, &matmul_cuda);

}  // namespace
}  // namespace tweedie
