#include "kernels/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tweedie {
namespace {

/// The matrix of one sample and head, copied to (positions, channels).
std::vector<double> head_of(const Array& array, std::int64_t sample, std::int64_t head) {
  const std::int64_t positions = array.shape[1], heads = array.shape[2], channels = array.shape[3];
  std::vector<double> matrix(positions * channels);
  for (std::int64_t t = 0; t < positions; ++t)
    for (std::int64_t d = 0; d < channels; ++d)
      matrix[t * channels + d] = array.as<double>()[((sample * positions + t) * heads + head) * channels + d];
  return matrix;
}

void store_head(const Array& array, std::int64_t sample, std::int64_t head, const std::vector<double>& matrix) {
  const std::int64_t positions = array.shape[1], heads = array.shape[2], channels = array.shape[3];
  for (std::int64_t t = 0; t < positions; ++t)
    for (std::int64_t d = 0; d < channels; ++d)
      array.as<double>()[((sample * positions + t) * heads + head) * channels + d] = matrix[t * channels + d];
}

/// softmax(scale q k') (T, S) and the logarithm of its normaliser (T).
struct Probabilities {
  std::vector<double> p, log_sum_exp;
};
Probabilities probabilities(const std::vector<double>& q, const std::vector<double>& k, std::int64_t t_count,
                            std::int64_t s_count, std::int64_t channels, double scale) {
  Probabilities out{std::vector<double>(t_count * s_count), std::vector<double>(t_count)};
  for (std::int64_t t = 0; t < t_count; ++t) {
    double* row = &out.p[t * s_count];
    for (std::int64_t s = 0; s < s_count; ++s) {
      double dot = 0.0;
      for (std::int64_t d = 0; d < channels; ++d) dot += q[t * channels + d] * k[s * channels + d];
      row[s] = scale * dot;
    }
    const double maximum = *std::max_element(row, row + s_count);
    double sum = 0.0;
    for (std::int64_t s = 0; s < s_count; ++s) sum += std::exp(row[s] - maximum);
    out.log_sum_exp[t] = maximum + std::log(sum);
    for (std::int64_t s = 0; s < s_count; ++s) row[s] = std::exp(row[s] - out.log_sum_exp[t]);
  }
  return out;
}

void forward_reference(Stream&, const AttentionForward& arguments) {
  const std::int64_t samples = arguments.q.shape[0], t_count = arguments.q.shape[1], heads = arguments.q.shape[2];
  const std::int64_t channels = arguments.q.shape[3], s_count = arguments.k.shape[1];
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t h = 0; h < heads; ++h) {
      const auto q = head_of(arguments.q, n, h), k = head_of(arguments.k, n, h), v = head_of(arguments.v, n, h);
      const Probabilities soft = probabilities(q, k, t_count, s_count, channels, arguments.scale);
      std::vector<double> out(q.size(), 0.0);
      for (std::int64_t t = 0; t < t_count; ++t)
        for (std::int64_t s = 0; s < s_count; ++s)
          for (std::int64_t d = 0; d < channels; ++d)
            out[t * channels + d] += soft.p[t * s_count + s] * v[s * channels + d];
      store_head(arguments.out, n, h, out);
      std::copy(soft.log_sum_exp.begin(), soft.log_sum_exp.end(),
                arguments.log_sum_exp.as<double>() + (n * heads + h) * t_count);
    }
}

/// With P = softmax(scale q k'), dP = grad_out v' and dS = P * (dP - rowsum(P *
/// dP)): grad_v = P' grad_out, grad_q = scale dS k, grad_k = scale dS' q.
void backward_reference(Stream&, const AttentionBackward& arguments) {
  const std::int64_t samples = arguments.q.shape[0], t_count = arguments.q.shape[1], heads = arguments.q.shape[2];
  const std::int64_t channels = arguments.q.shape[3], s_count = arguments.k.shape[1];
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t h = 0; h < heads; ++h) {
      const auto q = head_of(arguments.q, n, h), k = head_of(arguments.k, n, h), v = head_of(arguments.v, n, h);
      const auto grad_out = head_of(arguments.grad_out, n, h);
      const Probabilities soft = probabilities(q, k, t_count, s_count, channels, arguments.scale);
      std::vector<double> grad_q(q.size(), 0.0), grad_k(k.size(), 0.0), grad_v(v.size(), 0.0);
      for (std::int64_t t = 0; t < t_count; ++t) {
        const double* p = &soft.p[t * s_count];
        std::vector<double> grad_p(s_count, 0.0);
        double weighted = 0.0;
        for (std::int64_t s = 0; s < s_count; ++s) {
          for (std::int64_t d = 0; d < channels; ++d) grad_p[s] += grad_out[t * channels + d] * v[s * channels + d];
          weighted += p[s] * grad_p[s];
        }
        for (std::int64_t s = 0; s < s_count; ++s) {
          const double grad_score = arguments.scale * p[s] * (grad_p[s] - weighted);
          for (std::int64_t d = 0; d < channels; ++d) {
            grad_q[t * channels + d] += grad_score * k[s * channels + d];
            grad_k[s * channels + d] += grad_score * q[t * channels + d];
            grad_v[s * channels + d] += p[s] * grad_out[t * channels + d];
          }
        }
      }
      store_head(arguments.grad_q, n, h, grad_q);
      store_head(arguments.grad_k, n, h, grad_k);
      store_head(arguments.grad_v, n, h, grad_v);
    }
}

const bool registered = attention_forward.implement(DeviceKind::reference, &forward_reference) &&
                        attention_backward.implement(DeviceKind::reference, &backward_reference);

}  // namespace
}  // namespace tweedie
