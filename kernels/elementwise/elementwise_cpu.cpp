#include "kernels/elementwise/elementwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/elementwise_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels/elementwise/broadcast.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

struct AddOf {
  template <class D>
  HWY_INLINE static hn::Vec<D> value(D, hn::Vec<D> a, hn::Vec<D> b) {
    return hn::Add(a, b);
  }
};
struct SubtractOf {
  template <class D>
  HWY_INLINE static hn::Vec<D> value(D, hn::Vec<D> a, hn::Vec<D> b) {
    return hn::Sub(a, b);
  }
};
struct MultiplyOf {
  template <class D>
  HWY_INLINE static hn::Vec<D> value(D, hn::Vec<D> a, hn::Vec<D> b) {
    return hn::Mul(a, b);
  }
};
struct DivideOf {
  template <class D>
  HWY_INLINE static hn::Vec<D> value(D, hn::Vec<D> a, hn::Vec<D> b) {
    return hn::Div(a, b);
  }
};

/// One run along the last axis; an operand of stride 0 is one value.
template <class Function>
void binary_run_of(const float* a, bool repeat_a, const float* b, bool repeat_b, float* out, std::int64_t count) {
  if (repeat_a) {
    map_vectors(count, out, [&](auto d, std::int64_t i) HWY_ATTR {
      return Function::value(d, hn::Set(d, *a), hn::LoadU(d, b + i));
    });
  } else if (repeat_b) {
    map_vectors(count, out, [&](auto d, std::int64_t i) HWY_ATTR {
      return Function::value(d, hn::LoadU(d, a + i), hn::Set(d, *b));
    });
  } else {
    map_vectors(count, out, [&](auto d, std::int64_t i) HWY_ATTR {
      return Function::value(d, hn::LoadU(d, a + i), hn::LoadU(d, b + i));
    });
  }
}

void binary_run(BinaryKind kind, const float* a, bool repeat_a, const float* b, bool repeat_b, float* out,
                std::int64_t count) {
  switch (kind) {
    case BinaryKind::add:
      return binary_run_of<AddOf>(a, repeat_a, b, repeat_b, out, count);
    case BinaryKind::subtract:
      return binary_run_of<SubtractOf>(a, repeat_a, b, repeat_b, out, count);
    case BinaryKind::multiply:
      return binary_run_of<MultiplyOf>(a, repeat_a, b, repeat_b, out, count);
    case BinaryKind::divide:
      return binary_run_of<DivideOf>(a, repeat_a, b, repeat_b, out, count);
  }
}

/// Output elements [first, last) of a broadcast operation.
void binary_range(BinaryKind kind, const BroadcastPlan& plan, const float* a, const float* b, float* out,
                  std::int64_t first, std::int64_t last) {
  const int inner = plan.rank - 1;
  const std::int64_t run = plan.extents[inner];
  const std::int64_t step_a = plan.strides_a[inner], step_b = plan.strides_b[inner];
  for (std::int64_t position = first; position < last;) {
    const std::int64_t column = position % run;
    std::int64_t row = position / run, offset_a = column * step_a, offset_b = column * step_b;
    for (int axis = inner - 1; axis >= 0; --axis) {
      offset_a += row % plan.extents[axis] * plan.strides_a[axis];
      offset_b += row % plan.extents[axis] * plan.strides_b[axis];
      row /= plan.extents[axis];
    }
    const std::int64_t length = std::min(run - column, last - position);
    binary_run(kind, a + offset_a, step_a == 0, b + offset_b, step_b == 0, out + position, length);
    position += length;
  }
}

void scale_add_range(const float* a, const float* b, float* out, float scale_a, float scale_b, float constant,
                     std::int64_t count) {
  if (b == nullptr) {
    map_vectors(count, out, [&](auto d, std::int64_t i) HWY_ATTR {
      return hn::MulAdd(hn::Set(d, scale_a), hn::LoadU(d, a + i), hn::Set(d, constant));
    });
  } else if (scale_a == 1.0f && scale_b == 1.0f && constant == 0.0f) {
    for_each_vector(count, [&](auto d, std::int64_t i)
                               HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, out + i); });
  } else {
    map_vectors(count, out, [&](auto d, std::int64_t i) HWY_ATTR {
      const auto scaled = hn::MulAdd(hn::Set(d, scale_b), hn::LoadU(d, b + i), hn::Set(d, constant));
      return hn::MulAdd(hn::Set(d, scale_a), hn::LoadU(d, a + i), scaled);
    });
  }
}

void exp_range(const float* x, float* y, std::int64_t count) {
  for_each_vector(count,
                  [&](auto d, std::int64_t i) HWY_ATTR { hn::StoreU(exp_anywhere(d, hn::LoadU(d, x + i)), d, y + i); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {

constinit Operation<Binary> binary{"binary"};
constinit Operation<ScaleAdd> scale_add{"scale_add"};
constinit Operation<Unary> unary{"unary"};

namespace {

HWY_EXPORT(binary_range);
HWY_EXPORT(scale_add_range);
HWY_EXPORT(exp_range);
constexpr std::int64_t grain = 16384;  // elements worth waking a thread for

void binary_cpu(Stream&, const Binary& arguments) {
  const float* a = arguments.a.as<float>();
  const float* b = arguments.b.as<float>();
  float* out = arguments.out.as<float>();
  const BroadcastPlan plan = plan_broadcast(arguments.out.shape, arguments.a.shape, arguments.b.shape);
  parallel_for(arguments.out.count(), grain, [&](std::int64_t first, std::int64_t last) {
    HWY_DYNAMIC_DISPATCH(binary_range)(arguments.kind, plan, a, b, out, first, last);
  });
}

void scale_add_cpu(Stream&, const ScaleAdd& arguments) {
  const float* a = arguments.a.as<float>();
  const float* b = arguments.b ? arguments.b.as<float>() : nullptr;
  float* out = arguments.out.as<float>();
  const auto scale_a = static_cast<float>(arguments.scale_a), scale_b = static_cast<float>(arguments.scale_b);
  const auto constant = static_cast<float>(arguments.constant);
  parallel_for(arguments.out.count(), grain, [&](std::int64_t first, std::int64_t last) {
    HWY_DYNAMIC_DISPATCH(scale_add_range)
    (a + first, b == nullptr ? nullptr : b + first, out + first, scale_a, scale_b, constant, last - first);
  });
}

template <class Function>
void map(const Unary& arguments, Function function) {
  const float* x = arguments.x.as<float>();
  float* y = arguments.y.as<float>();
  parallel_for(arguments.x.count(), grain, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) y[i] = function(x[i]);
  });
}

void unary_cpu(Stream&, const Unary& arguments) {
  switch (arguments.kind) {
    case UnaryKind::negate:
      return map(arguments, [](float x) { return -x; });
    case UnaryKind::exp: {
      const float* x = arguments.x.as<float>();
      float* y = arguments.y.as<float>();
      return parallel_for(arguments.x.count(), grain, [&](std::int64_t first, std::int64_t last) {
        HWY_DYNAMIC_DISPATCH(exp_range)(x + first, y + first, last - first);
      });
    }
    case UnaryKind::log:
      return map(arguments, [](float x) { return std::log(x); });
    case UnaryKind::sqrt:
      return map(arguments, [](float x) { return std::sqrt(x); });
    case UnaryKind::square:
      return map(arguments, [](float x) { return x * x; });
    case UnaryKind::reciprocal:
      return map(arguments, [](float x) { return 1.0f / x; });
    case UnaryKind::tanh:
      return map(arguments, [](float x) { return std::tanh(x); });
    case UnaryKind::sin:
      return map(arguments, [](float x) { return std::sin(x); });
    case UnaryKind::cos:
      return map(arguments, [](float x) { return std::cos(x); });
  }
}

const bool registered = binary.implement(DeviceKind::cpu, &binary_cpu) &&
                        scale_add.implement(DeviceKind::cpu, &scale_add_cpu) &&
                        unary.implement(DeviceKind::cpu, &unary_cpu);

}  // namespace
}  // namespace tweedie
#endif  // HWY_ONCE
