#include "kernels/attention/attention.h"

#include <cmath>

#include "kernels/runtime/checks.h"

namespace tweedie {
namespace {

void validate_common(std::string_view operation, const Array& q, const Array& k, const Array& v, const Array& out,
                     const Array& log_sum_exp, double scale) {
  require_rank(operation, "q", q, 4);
  require_rank(operation, "k", k, 4);
  require(q.shape[3] > 0, "{}: q {} has heads of no channels", operation, q.shape);
  require(k.shape[1] > 0, "{}: k {} has no position to attend to", operation, k.shape);
  require_shape(operation, "k", k, Shape({q.shape[0], k.shape[1], q.shape[2], q.shape[3]}));
  require_shape(operation, "v", v, k.shape);
  require_shape(operation, "out", out, q.shape);
  require_shape(operation, "log_sum_exp", log_sum_exp, Shape({q.shape[0], q.shape[2], q.shape[1]}));
  require(is_floating(q.dtype), "{}: q is {}, expected a floating-point type", operation, name_of(q.dtype));
  require_same_dtype(operation, "k", k, q);
  require_same_dtype(operation, "v", v, q);
  require_same_dtype(operation, "out", out, q);
  // The normaliser of bfloat16 operands stays in float32.
  require_dtype(operation, "log_sum_exp", log_sum_exp, q.dtype == DType::float64 ? DType::float64 : DType::float32);
  require(std::isfinite(scale), "{}: scale {}, expected a finite number", operation, scale);
}

/// N heads T S D
double products(const Array& q, const Array& k) {
  return static_cast<double>(q.count()) * static_cast<double>(k.shape[1]);
}

}  // namespace

void validate(const AttentionForward& arguments) {
  const auto& [q, k, v, out, log_sum_exp, scale] = arguments;
  validate_common("attention_forward", q, k, v, out, log_sum_exp, scale);
}

double flops(const AttentionForward& arguments) {
  return 4.0 * products(arguments.q, arguments.k);
}

double bytes_moved(const AttentionForward& arguments) {
  return bytes_of(arguments.q) + bytes_of(arguments.k) + bytes_of(arguments.v) + bytes_of(arguments.out) +
         bytes_of(arguments.log_sum_exp);
}

void validate(const AttentionBackward& arguments) {
  const auto& [q, k, v, out, log_sum_exp, grad_out, grad_q, grad_k, grad_v, scale] = arguments;
  validate_common("attention_backward", q, k, v, out, log_sum_exp, scale);
  require_shape("attention_backward", "grad_out", grad_out, q.shape);
  require_shape("attention_backward", "grad_q", grad_q, q.shape);
  require_shape("attention_backward", "grad_k", grad_k, k.shape);
  require_shape("attention_backward", "grad_v", grad_v, k.shape);
  require_same_dtype("attention_backward", "grad_out", grad_out, q);
  require_same_dtype("attention_backward", "grad_q", grad_q, q);
  require_same_dtype("attention_backward", "grad_k", grad_k, q);
  require_same_dtype("attention_backward", "grad_v", grad_v, q);
}

double flops(const AttentionBackward& arguments) {
  return 10.0 * products(arguments.q, arguments.k);
}

double bytes_moved(const AttentionBackward& arguments) {
  return bytes_of(arguments.q) + bytes_of(arguments.k) + bytes_of(arguments.v) + bytes_of(arguments.out) +
         bytes_of(arguments.log_sum_exp) + bytes_of(arguments.grad_out) + bytes_of(arguments.grad_q) +
         bytes_of(arguments.grad_k) + bytes_of(arguments.grad_v);
}

}  // namespace tweedie
