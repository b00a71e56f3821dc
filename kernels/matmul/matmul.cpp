#include "kernels/matmul/matmul.h"

#include "kernels/runtime/checks.h"

namespace tweedie {

void validate(const Matmul& arguments) {
  const auto& [a, b, bias, c, transpose_a, transpose_b, alpha, write, residual, activation] = arguments;
  require_rank("matmul", "a", a, 3);
  require_rank("matmul", "b", b, 3);
  const std::int64_t batch = a.shape[0];
  const std::int64_t rows = a.shape[transpose_a ? 2 : 1], inner = a.shape[transpose_a ? 1 : 2];
  const std::int64_t b_inner = b.shape[transpose_b ? 2 : 1], columns = b.shape[transpose_b ? 1 : 2];
  require(b_inner == inner, "matmul: a {}{} and b {}{} sum over different extents, {} and {}", a.shape,
          transpose_a ? " transposed" : "", b.shape, transpose_b ? " transposed" : "", inner, b_inner);
  require(b.shape[0] == batch || b.shape[0] == 1, "matmul: b has batch {}, expected 1 or that of a, {}", b.shape[0],
          batch);
  require_shape("matmul", "c", c, Shape({batch, rows, columns}));
  require_optional_shape("matmul", "bias", bias, Shape({columns}));
  require_optional_shape("matmul", "residual", residual, c.shape);
  require(write == Write::overwrite || (!residual && !activation), "matmul: {} does not go with accumulating",
          residual ? "a residual" : "an activation");
  require(!residual || residual.data != c.data, "matmul: the residual is c itself; accumulate instead");
  require(is_floating(a.dtype), "matmul: a is {}, expected a floating-point type", name_of(a.dtype));
  require_same_dtype("matmul", "b", b, a);
  require_same_dtype("matmul", "bias", bias, a);
  require_same_dtype("matmul", "residual", residual, a);
  if (has_wide_result(arguments))
    require(transpose_a && !transpose_b && !bias && !residual && !activation,
            "matmul: a float32 c beside bfloat16 operands goes with transpose_a alone and nothing added");
  else
    require_same_dtype("matmul", "c", c, a);
}

bool has_wide_result(const Matmul& arguments) {
  return arguments.a.dtype == DType::bfloat16 && arguments.c.dtype == DType::float32;
}

double flops(const Matmul& arguments) {
  const double inner = static_cast<double>(arguments.a.shape[arguments.transpose_a ? 1 : 2]);
  return 2.0 * static_cast<double>(arguments.c.count()) * inner;
}

double bytes_moved(const Matmul& arguments) {
  const double writes = arguments.write == Write::accumulate ? 2.0 : 1.0;
  return bytes_of(arguments.a) + bytes_of(arguments.b) + bytes_of(arguments.bias) + bytes_of(arguments.residual) +
         writes * bytes_of(arguments.c);
}

}  // namespace tweedie
