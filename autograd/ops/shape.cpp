#include "autograd/ops/shape.h"

#include <vector>

#include "kernels/copy_slice/copy_slice.h"
#include "kernels/resample/resample.h"

namespace tweedie {
namespace {

int normalised_axis(std::string_view name, const Tensor& x, int axis) {
  const int index = axis < 0 ? axis + x.rank() : axis;
  require(x.defined() && index >= 0 && index < x.rank(), "{}: axis {} of a tensor of shape {}", name, axis, x.shape());
  return index;
}

/// (outer, extent, inner) around an axis.
Shape around(const Shape& shape, int axis) {
  return {shape.count_between(0, axis), shape[axis], shape.count_between(axis + 1, shape.rank())};
}

}  // namespace

Tensor reshape(const Tensor& x, const Shape& shape) {
  return record("reshape", with_shape(x, shape), {x},
                [from = x.shape()](Backward& backward) { backward.give(0, with_shape(backward.grad_output(), from)); });
}

Tensor reshape(const Tensor& x, std::initializer_list<std::int64_t> extents) {
  require(x.defined(), "reshape: undefined tensor");
  std::int64_t known = 1;
  int unknown = 0;
  for (const std::int64_t extent : extents) {
    if (extent == -1) {
      ++unknown;
    } else {
      known *= extent;
    }
  }
  require(unknown <= 1, "reshape: at most one extent may be -1");
  require(unknown == 0 || (known > 0 && x.count() % known == 0), "reshape: {} has no whole extent for -1", x.shape());
  Shape shape;
  for (const std::int64_t extent : extents) shape.append(extent == -1 ? x.count() / known : extent);
  return reshape(x, shape);
}

Tensor permute(const Tensor& x, std::initializer_list<int> axes) {
  require(x.defined() && static_cast<int>(axes.size()) == x.rank(), "permute: {} axes for a tensor of shape {}",
          axes.size(), x.shape());
  Permute forward, inverse;
  Shape shape;
  int position = 0;
  for (const int axis : axes) {
    require(axis >= 0 && axis < x.rank(), "permute: axis {} of a tensor of shape {}", axis, x.shape());
    forward.axes[position] = axis;
    inverse.axes[axis] = position++;
    shape.append(x.size(axis));
  }
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  forward.x = x.array();
  forward.y = y.array();
  permute_axes(y.stream(), forward);
  return record("permute", y, {x}, [from = x.shape(), inverse](Backward& backward) {
    const Tensor& gradient = backward.grad_output();
    Tensor back = Tensor::empty(from, gradient.dtype(), gradient.device());
    Permute arguments = inverse;
    arguments.x = gradient.array();
    arguments.y = back.array();
    permute_axes(back.stream(), arguments);
    backward.give(0, back);
  });
}

Tensor concatenate(std::span<const Tensor> parts, int axis) {
  require(!parts.empty() && parts[0].defined(), "concatenate: nothing to put together");
  axis = normalised_axis("concatenate", parts[0], axis);
  Shape shape = parts[0].shape();
  std::vector<std::int64_t> lengths;
  std::int64_t total = 0;
  for (const Tensor& part : parts) {
    require(part.defined() && part.rank() == shape.rank(), "concatenate: shapes {} and {}", shape, part.shape());
    for (int other = 0; other < shape.rank(); ++other)
      require(other == axis || part.size(other) == shape[other], "concatenate: shapes {} and {} differ off axis {}",
              parts[0].shape(), part.shape(), axis);
    lengths.push_back(part.size(axis));
    total += part.size(axis);
  }
  shape[axis] = total;
  Tensor y = Tensor::empty(shape, parts[0].dtype(), parts[0].device());
  const Shape to = around(shape, axis);
  std::int64_t start = 0;
  for (const Tensor& part : parts) {
    copy_slice(y.stream(), {.from = part.array(around(part.shape(), axis)),
                            .to = y.array(to),
                            .to_start = start,
                            .length = part.size(axis)});
    start += part.size(axis);
  }
  return record("concatenate", y, parts, [lengths, to](Backward& backward) {
    std::int64_t first = 0;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      if (const auto place = backward.destination(static_cast<int>(i)); place.array)
        copy_slice(backward.grad_output().stream(),
                   {.from = backward.grad_output().array(to),
                    .to = {place.array.data, Shape{to[0], lengths[i], to[2]}, place.array.dtype},
                    .from_start = first,
                    .length = lengths[i],
                    .write = place.write});
      first += lengths[i];
    }
  });
}

Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t length) {
  axis = normalised_axis("slice", x, axis);
  require(start >= 0 && length >= 0 && start + length <= x.size(axis), "slice: [{}, {}) of axis {} of shape {}", start,
          start + length, axis, x.shape());
  Shape shape = x.shape();
  shape[axis] = length;
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  copy_slice(y.stream(), {.from = x.array(around(x.shape(), axis)),
                          .to = y.array(around(shape, axis)),
                          .from_start = start,
                          .length = length});
  return record("slice", y, {x}, [axis, start, length, from = x.shape(), shape](Backward& backward) {
    const Array place = backward.accumulated(0);
    copy_slice(backward.grad_output().stream(), {.from = backward.grad_output().array(around(shape, axis)),
                                                 .to = {place.data, around(from, axis), place.dtype},
                                                 .to_start = start,
                                                 .length = length,
                                                 .write = Write::accumulate});
  });
}

Tensor pad(const Tensor& x, int axis, std::int64_t before, std::int64_t after) {
  axis = normalised_axis("pad", x, axis);
  require(before >= 0 && after >= 0, "pad: negative padding {}, {}", before, after);
  Shape shape = x.shape();
  shape[axis] += before + after;
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  y.stream().zero(y.array().data, static_cast<std::size_t>(y.array().bytes()));
  copy_slice(y.stream(), {.from = x.array(around(x.shape(), axis)),
                          .to = y.array(around(shape, axis)),
                          .to_start = before,
                          .length = x.size(axis)});
  return record("pad", y, {x}, [axis, before, from = x.shape(), shape](Backward& backward) {
    const auto place = backward.destination(0);
    copy_slice(backward.grad_output().stream(), {.from = backward.grad_output().array(around(shape, axis)),
                                                 .to = {place.array.data, around(from, axis), place.array.dtype},
                                                 .from_start = before,
                                                 .length = from[axis],
                                                 .write = place.write});
  });
}

Tensor upsample_nearest(const Tensor& x, int factor) {
  require(x.defined() && x.rank() == 4 && factor >= 1, "upsample_nearest: x {}, expected (N, H, W, C); factor {}",
          x.shape(), factor);
  Tensor y = Tensor::empty({x.size(0), x.size(1) * factor, x.size(2) * factor, x.size(3)}, x.dtype(), x.device());
  upsample_nearest_forward(y.stream(), {.x = x.array(), .y = y.array(), .factor = factor});
  return record("upsample_nearest", y, {x}, [factor](Backward& backward) {
    const auto place = backward.destination(0);
    upsample_nearest_backward(
        backward.grad_output().stream(),
        {.grad_y = backward.grad_output().array(), .grad_x = place.array, .factor = factor, .write = place.write});
  });
}

Tensor average_pool(const Tensor& x, int factor) {
  require(x.defined() && x.rank() == 4 && factor >= 1, "average_pool: x {}, expected (N, H, W, C); factor {}",
          x.shape(), factor);
  Tensor y = Tensor::empty({x.size(0), x.size(1) / factor, x.size(2) / factor, x.size(3)}, x.dtype(), x.device());
  average_pool_forward(y.stream(), {.x = x.array(), .y = y.array(), .factor = factor});
  return record("average_pool", y, {x}, [factor](Backward& backward) {
    const auto place = backward.destination(0);
    average_pool_backward(
        backward.grad_output().stream(),
        {.grad_y = backward.grad_output().array(), .grad_x = place.array, .factor = factor, .write = place.write});
  });
}

}  // namespace tweedie
