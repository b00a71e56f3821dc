#include "kernels/resample/resample.h"

namespace tweedie {
namespace {

/// Pixel (n, h, w), channel c.
double& at(const Array& array, std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) {
  const Shape& s = array.shape;
  return array.as<double>()[((n * s[1] + h) * s[2] + w) * s[3] + c];
}

template <class Body>
void for_each_element(const Shape& shape, Body&& body) {
  for (std::int64_t n = 0; n < shape[0]; ++n)
    for (std::int64_t h = 0; h < shape[1]; ++h)
      for (std::int64_t w = 0; w < shape[2]; ++w)
        for (std::int64_t c = 0; c < shape[3]; ++c) body(n, h, w, c);
}

using Index = std::int64_t;

void upsample_forward(Stream&, const UpsampleNearestForward& a) {
  for_each_element(a.y.shape, [&](Index n, Index h, Index w, Index c) {
    at(a.y, n, h, w, c) = at(a.x, n, h / a.factor, w / a.factor, c);
  });
}

void upsample_backward(Stream&, const UpsampleNearestBackward& a) {
  if (a.write == Write::overwrite)
    for (Index i = 0; i < a.grad_x.count(); ++i) a.grad_x.as<double>()[i] = 0.0;
  for_each_element(a.grad_y.shape, [&](Index n, Index h, Index w, Index c) {
    at(a.grad_x, n, h / a.factor, w / a.factor, c) += at(a.grad_y, n, h, w, c);
  });
}

void pool_forward(Stream&, const AveragePoolForward& a) {
  for_each_element(a.y.shape, [&](Index n, Index h, Index w, Index c) {
    double sum = 0.0;
    for (int i = 0; i < a.factor; ++i)
      for (int j = 0; j < a.factor; ++j) sum += at(a.x, n, h * a.factor + i, w * a.factor + j, c);
    at(a.y, n, h, w, c) = sum / (a.factor * a.factor);
  });
}

void pool_backward(Stream&, const AveragePoolBackward& a) {
  for_each_element(a.grad_x.shape, [&](Index n, Index h, Index w, Index c) {
    const bool inside = h / a.factor < a.grad_y.shape[1] && w / a.factor < a.grad_y.shape[2];
    const double gradient = inside ? at(a.grad_y, n, h / a.factor, w / a.factor, c) / (a.factor * a.factor) : 0.0;
    double& out = at(a.grad_x, n, h, w, c);
    out = (a.write == Write::accumulate ? out : 0.0) + gradient;
  });
}

const bool registered = upsample_nearest_forward.implement(DeviceKind::reference, &upsample_forward) &&
                        upsample_nearest_backward.implement(DeviceKind::reference, &upsample_backward) &&
                        average_pool_forward.implement(DeviceKind::reference, &pool_forward) &&
                        average_pool_backward.implement(DeviceKind::reference, &pool_backward);

}  // namespace
}  // namespace tweedie
