#include "autograd/ops/attention.h"

#include "kernels/attention/attention.h"
#include "kernels/runtime/checks.h"

namespace tweedie {

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, double scale) {
  require(q.defined() && q.rank() == 4, "attention: q must be (N, T, heads, D), got {}", q.shape());
  Tensor out = Tensor::empty(q.shape(), q.dtype(), q.device());
  Tensor log_sum_exp = Tensor::empty(Shape{q.size(0), q.size(2), q.size(1)}, wide_dtype(q.dtype()), q.device());
  attention_forward(out.stream(), {.q = q.array(),
                                   .k = k.array(),
                                   .v = v.array(),
                                   .out = out.array(),
                                   .log_sum_exp = log_sum_exp.array(),
                                   .scale = scale});
  return record(
      "attention", out, {q, k, v},
      [q = q.detach(), k = k.detach(), v = v.detach(), out = out.detach(), log_sum_exp, scale](Backward& backward) {
        const Tensor grad_q = Tensor::empty(q.shape(), q.dtype(), q.device());
        const Tensor grad_k = Tensor::empty(k.shape(), k.dtype(), k.device());
        const Tensor grad_v = Tensor::empty(v.shape(), v.dtype(), v.device());
        attention_backward(q.stream(), {.q = q.array(),
                                        .k = k.array(),
                                        .v = v.array(),
                                        .out = out.array(),
                                        .log_sum_exp = log_sum_exp.array(),
                                        .grad_out = backward.grad_output().array(),
                                        .grad_q = grad_q.array(),
                                        .grad_k = grad_k.array(),
                                        .grad_v = grad_v.array(),
                                        .scale = scale});
        backward.give(0, grad_q);
        backward.give(1, grad_k);
        backward.give(2, grad_v);
      });
}

}  // namespace tweedie
