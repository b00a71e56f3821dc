#include <algorithm>
#include <array>
#include <bit>
#include <map>

#include "kernels/activation/activation_cuda.h"
#include "kernels/matmul/matmul_cuda.h"
#include "kernels/runtime/cublas.h"
#include "kernels/runtime/cuda.h"
#include "kernels/runtime/cuda_choices.h"

// matmul by cuBLASLt, bias and accumulation in its epilogue: sums in float32, rounded once. A residual is accumulated
// onto; an activation is a pass of its own, over the rounded sum.
namespace tweedie {
namespace {

using cublas::Context;

constexpr std::uint64_t workspace_limit = std::uint64_t{64} << 20;

/// The product as cuBLASLt sees it: column-major, so that C (M, N) is its D' (N, M) = op(b)' op(a)'. A batch that
/// shares b is one product of all its rows.
struct Product {
  explicit Product(const Matmul& arguments)
      : inner(arguments.a.shape[arguments.transpose_a ? 1 : 2]), columns(arguments.c.shape[2]) {
    shared_b = arguments.b.shape[0] == 1;
    const bool together = shared_b && !arguments.transpose_a;
    batch = together ? 1 : arguments.c.shape[0];
    rows = together ? arguments.c.shape[0] * arguments.c.shape[1] : arguments.c.shape[1];
  }
  std::int64_t inner, columns, batch, rows;
  bool shared_b;
};

/// What cuBLASLt may assume of an address: 256 bytes at most.
std::uint32_t alignment_of(const void* address) {
  const auto bits = reinterpret_cast<std::uintptr_t>(address) | 256;
  return std::uint32_t{1} << std::countr_zero(bits);
}

std::string text_of(const Matmul& arguments) {
  return fmt::format("{} a {}{} b {}{}{} c {}", name_of(arguments.a.dtype), arguments.a.shape,
                     arguments.transpose_a ? " transposed" : "", arguments.b.shape,
                     arguments.transpose_b ? " transposed" : "", arguments.bias ? " bias" : "", arguments.c.shape);
}

/// Everything about a product but its addresses and factors. Kept for as long as the program runs: a network has a few
/// dozen.
struct Plan {
  cublas::Description description = nullptr;
  cublas::Layout first = nullptr, second = nullptr, result = nullptr;  // b, a and c
  cublas::Heuristic chosen = {};
};

class Planner {
 public:
  Planner(const Context& context, const Matmul& arguments, const Product& product)
      : context_(context), arguments_(arguments), product_(product) {}

  Plan plan() const {
    const auto& [inner, columns, batch, rows, shared_b] = product_;
    Plan plan;
    const int compute = arguments_.a.dtype == DType::float32 && cuda_choices().tf32 ? cublas::compute_32f_fast_tf32
                                                                                    : cublas::compute_32f;
    check(context_.create_description(&plan.description, compute, cublas::real_32f), "cublasLtMatmulDescCreate");
    describe(plan.description, cublas::transpose_a, arguments_.transpose_b ? cublas::operation_t : cublas::operation_n);
    describe(plan.description, cublas::transpose_b, arguments_.transpose_a ? cublas::operation_t : cublas::operation_n);
    describe(plan.description, cublas::epilogue, arguments_.bias ? cublas::epilogue_bias : cublas::epilogue_default);
    const DType type = arguments_.a.dtype;
    plan.first =
        arguments_.transpose_b ? layout(type, inner, columns, shared_b) : layout(type, columns, inner, shared_b);
    plan.second = arguments_.transpose_a ? layout(type, rows, inner, false) : layout(type, inner, rows, false);
    plan.result = layout(arguments_.c.dtype, columns, rows, false);
    choose(plan);
    return plan;
  }

 private:
  void check(cublas::Status status, std::string_view call, const char* file = __builtin_FILE(),
             int line = __builtin_LINE()) const {
    cublas::check(context_, status, call, text_of(arguments_), file, line);
  }

  void describe(cublas::Description description, int attribute, std::int32_t value) const {
    check(context_.set_description(description, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  }

  cublas::Layout layout(DType dtype, std::int64_t rows, std::int64_t columns, bool shared) const {
    const int type = dtype == DType::bfloat16 ? cublas::real_16bf : cublas::real_32f;
    cublas::Layout made = nullptr;
    check(context_.create_layout(&made, type, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(columns),
                                 rows),
          "cublasLtMatrixLayoutCreate");
    const auto count = static_cast<std::int32_t>(product_.batch);
    const std::int64_t stride = shared ? 0 : rows * columns;
    check(context_.set_layout(made, cublas::batch_count, &count, sizeof count), "cublasLtMatrixLayoutSetAttribute");
    check(context_.set_layout(made, cublas::batch_stride, &stride, sizeof stride), "cublasLtMatrixLayoutSetAttribute");
    return made;
  }

  template <class T>
  void prefer(cublas::Preference preference, int attribute, T value) const {
    check(context_.set_preference(preference, attribute, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute");
  }

  /// The algorithm that cuBLASLt thinks fastest of those that sum a split product in float32, in a fixed order.
  void choose(Plan& plan) const {
    cublas::Preference preference = nullptr;
    check(context_.create_preference(&preference), "cublasLtMatmulPreferenceCreate");
    prefer(preference, cublas::max_workspace_bytes, workspace_limit);
    prefer(preference, cublas::reduction_scheme_mask, cublas::reduction_in_compute_type);
    const std::uint32_t c = alignment_of(arguments_.c.data);
    prefer(preference, cublas::min_alignment_a, alignment_of(arguments_.b.data));
    prefer(preference, cublas::min_alignment_b, alignment_of(arguments_.a.data));
    prefer(preference, cublas::min_alignment_c, c);
    prefer(preference, cublas::min_alignment_d, arguments_.bias ? std::min(c, alignment_of(arguments_.bias.data)) : c);
    int found = 0;
    const cublas::Status status =
        context_.find_algorithm(context_.handle, plan.description, plan.first, plan.second, plan.result, plan.result,
                                preference, 1, &plan.chosen, &found);
    check(context_.destroy_preference(preference), "cublasLtMatmulPreferenceDestroy");
    check(status, "cublasLtMatmulAlgoGetHeuristic");
    require(found > 0, "matmul: cuBLASLt has no algorithm for {}", text_of(arguments_));
    check(plan.chosen.status, "cublasLtMatmulAlgoGetHeuristic");
  }

  const Context& context_;
  const Matmul& arguments_;
  const Product& product_;
};

const Plan& plan_of(Stream& stream, const Context& context, const Matmul& arguments, const Product& product) {
  const auto bias_alignment = arguments.bias ? alignment_of(arguments.bias.data) : 0;
  const std::array<std::int64_t, 15> key = {stream.device().index,
                                            product.batch,
                                            product.rows,
                                            product.columns,
                                            product.inner,
                                            product.shared_b,
                                            arguments.transpose_a,
                                            arguments.transpose_b,
                                            static_cast<std::int64_t>(arguments.a.dtype),
                                            static_cast<std::int64_t>(arguments.c.dtype),
                                            cuda_choices().tf32,
                                            alignment_of(arguments.a.data),
                                            alignment_of(arguments.b.data),
                                            alignment_of(arguments.c.data),
                                            bias_alignment};
  static auto& plans = *new std::map<std::array<std::int64_t, 15>, Plan>;
  const auto found = plans.find(key);
  return found != plans.end() ? found->second
                              : plans.emplace(key, Planner(context, arguments, product).plan()).first->second;
}

}  // namespace

void matmul_cublas(Stream& stream, const Matmul& arguments) {
  if (arguments.c.count() == 0) return;
  require(arguments.a.dtype == DType::float32 || arguments.a.dtype == DType::bfloat16,
          "matmul: a is {}, expected float32 or bfloat16 on cuda", name_of(arguments.a.dtype));
  const Product product(arguments);
  if (product.inner == 0) return matmul_native_cuda(stream, arguments);  // an empty sum, which cuBLAS does not take
  const Context& context = cublas::context(stream);
  const Plan& plan = plan_of(stream, context, arguments, product);
  const auto check = [&](cublas::Status status, std::string_view call, const char* file = __builtin_FILE(),
                         int line = __builtin_LINE()) {
    if (status != cublas::success) cublas::check(context, status, call, text_of(arguments), file, line);
  };
  if (arguments.bias)
    check(context.set_description(plan.description, cublas::bias_pointer, &arguments.bias.data, sizeof(void*)),
          "cublasLtMatmulDescSetAttribute");
  const auto alpha = static_cast<float>(arguments.alpha);
  const float beta = arguments.write == Write::accumulate || arguments.residual ? 1.0f : 0.0f;
  if (arguments.residual)
    stream.copy(arguments.c.data, arguments.residual.data, static_cast<std::size_t>(arguments.c.bytes()));
  const Scratch workspace(stream, plan.chosen.workspace_bytes);
  check(
      context.multiply(context.handle, plan.description, &alpha, arguments.b.data, plan.first, arguments.a.data,
                       plan.second, &beta, arguments.c.data, plan.result, arguments.c.data, plan.result,
                       &plan.chosen.algorithm, workspace.as<void>(), plan.chosen.workspace_bytes, cuda_handle(stream)),
      "cublasLtMatmul");
  ++calls_of(CudaLibrary::cublas);
  if (arguments.activation)
    activate_on_cuda(stream, {.kind = *arguments.activation, .x = arguments.c, .y = arguments.c});
}

}  // namespace tweedie
