#include "kernels/activation/activation_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activation/activation_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/parallel.h"
#include "kernels/runtime/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

/// The normal distribution function times exp(a^2 / 2), at -a <= 0: a minimax polynomial in 1 / (1 + 0.3 a), relative
/// error 2^-24 on 0 <= a <= 14.
template <class D>
HWY_INLINE hn::Vec<D> scaled_normal_tail(D d, hn::Vec<D> a) {
  const auto one = hn::Set(d, 1.0f);
  const auto s = reciprocal(d, hn::MulAdd(a, hn::Set(d, 0.3f), one));
  auto p = hn::Set(d, 0.0383787863f);
  p = hn::MulAdd(p, s, hn::Set(d, -0.16916804f));
  p = hn::MulAdd(p, s, hn::Set(d, 0.228663102f));
  p = hn::MulAdd(p, s, hn::Set(d, -0.0765089467f));
  p = hn::MulAdd(p, s, hn::Set(d, 0.142536655f));
  p = hn::MulAdd(p, s, hn::Set(d, 0.0946832374f));
  p = hn::MulAdd(p, s, hn::Set(d, 0.121920377f));
  p = hn::MulAdd(p, s, hn::Set(d, 0.119487688f));
  return hn::MulAdd(p, s, hn::Set(d, 7.16878185e-06f));
}

/// Phi(x); gaussian becomes exp(-x^2 / 2).
template <class D>
HWY_INLINE hn::Vec<D> normal_distribution(D d, hn::Vec<D> x, hn::Vec<D>& gaussian) {
  const auto a = hn::Min(hn::Abs(x), hn::Set(d, 13.0f));
  gaussian = exp_within(d, hn::Mul(hn::Mul(a, a), hn::Set(d, -0.5f)));
  const auto tail = hn::Mul(gaussian, scaled_normal_tail(d, a));
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(hn::Set(d, 1.0f), tail));
}

/// 2 sqrt(2 / pi) (x + 0.044715 x^3): gelu_tanh(x) = x sigmoid(of this), since 1 + tanh(u) = 2 sigmoid(2 u).
template <class D>
HWY_INLINE hn::Vec<D> gelu_tanh_argument(D d, hn::Vec<D> x) {
  const auto cubic = hn::MulAdd(hn::Mul(x, x), hn::Set(d, 0.0713548162f), hn::Set(d, 1.59576912f));
  return hn::Mul(x, cubic);
}

struct Silu {
  template <class D>
  HWY_INLINE static hn::Vec<D> value(D d, hn::Vec<D> x) {
    return silu(d, x);
  }
  template <class D>
  HWY_INLINE static hn::Vec<D> derivative(D d, hn::Vec<D> x) {
    return silu_derivative(d, x);
  }
};

struct Gelu {
  template <class D>
  HWY_INLINE static hn::Vec<D> value(D d, hn::Vec<D> x) {
    hn::Vec<D> gaussian;
    return hn::Mul(x, normal_distribution(d, x, gaussian));
  }
  template <class D>
  HWY_INLINE static hn::Vec<D> derivative(D d, hn::Vec<D> x) {
    hn::Vec<D> gaussian;
    const auto phi = normal_distribution(d, x, gaussian);
    return hn::MulAdd(hn::Mul(x, hn::Set(d, 0.398942280f)), gaussian, phi);
  }
};

struct GeluTanh {
  template <class D>
  HWY_INLINE static hn::Vec<D> value(D d, hn::Vec<D> x) {
    return hn::Mul(x, sigmoid(d, gelu_tanh_argument(d, x)));
  }
  template <class D>
  HWY_INLINE static hn::Vec<D> derivative(D d, hn::Vec<D> x) {
    // Beyond |x| = 10 the derivative is that of relu to the last bit; the bound keeps inf * 0 away.
    x = hn::IfThenElse(hn::IsNaN(x), x, hn::Min(hn::Max(x, hn::Set(d, -10.0f)), hn::Set(d, 10.0f)));
    hn::Vec<D> e;
    const auto s = sigmoid(d, gelu_tanh_argument(d, x), e);
    const auto inner = hn::MulAdd(hn::Mul(x, x), hn::Set(d, 0.214064449f), hn::Set(d, 1.59576912f));
    return hn::MulAdd(hn::Mul(hn::Mul(x, inner), s), hn::Mul(e, s), s);
  }
};

struct Relu {
  template <class D>
  HWY_INLINE static hn::Vec<D> value(D d, hn::Vec<D> x) {
    return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Zero(d), x);  // not Max: a NaN stays a NaN
  }
  template <class D>
  HWY_INLINE static hn::Vec<D> derivative(D d, hn::Vec<D> x) {
    return hn::IfThenElseZero(hn::Gt(x, hn::Zero(d)), hn::Set(d, 1.0f));
  }
};

template <class Function>
void forward_range(const float* x, float* y, std::int64_t count) {
  for_each_vector(
      count, [&](auto d, std::int64_t i) HWY_ATTR { hn::StoreU(Function::value(d, hn::LoadU(d, x + i)), d, y + i); });
}

template <class Function, bool accumulate>
void backward_range(const float* x, const float* grad_y, float* grad_x, std::int64_t count) {
  map_vectors(count, grad_x, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto derivative = Function::derivative(d, hn::LoadU(d, x + i));
    const auto gradient = hn::LoadU(d, grad_y + i);
    const auto product =
        accumulate ? hn::MulAdd(gradient, derivative, hn::LoadU(d, grad_x + i)) : hn::Mul(gradient, derivative);
    return product;
  });
}

void forward(ActivationKind kind, const float* x, float* y, std::int64_t count) {
  switch (kind) {
    case ActivationKind::silu:
      return forward_range<Silu>(x, y, count);
    case ActivationKind::gelu:
      return forward_range<Gelu>(x, y, count);
    case ActivationKind::gelu_tanh:
      return forward_range<GeluTanh>(x, y, count);
    case ActivationKind::relu:
      return forward_range<Relu>(x, y, count);
  }
}

template <bool accumulate>
void backward_of(ActivationKind kind, const float* x, const float* grad_y, float* grad_x, std::int64_t count) {
  switch (kind) {
    case ActivationKind::silu:
      return backward_range<Silu, accumulate>(x, grad_y, grad_x, count);
    case ActivationKind::gelu:
      return backward_range<Gelu, accumulate>(x, grad_y, grad_x, count);
    case ActivationKind::gelu_tanh:
      return backward_range<GeluTanh, accumulate>(x, grad_y, grad_x, count);
    case ActivationKind::relu:
      return backward_range<Relu, accumulate>(x, grad_y, grad_x, count);
  }
}

void backward(ActivationKind kind, Write write, const float* x, const float* grad_y, float* grad_x,
              std::int64_t count) {
  if (write == Write::accumulate)
    backward_of<true>(kind, x, grad_y, grad_x, count);
  else
    backward_of<false>(kind, x, grad_y, grad_x, count);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {

constinit Operation<ActivationForward> activation_forward{"activation_forward"};
constinit Operation<ActivationBackward> activation_backward{"activation_backward"};

namespace {

HWY_EXPORT(forward);
HWY_EXPORT(backward);
constexpr std::int64_t grain = 16384;  // elements worth waking a thread for

void forward_cpu(Stream&, const ActivationForward& arguments) {
  activate_on_cpu(arguments);
}

void backward_cpu(Stream&, const ActivationBackward& arguments) {
  const float* x = arguments.x.as<float>();
  const float* grad_y = arguments.grad_y.as<float>();
  float* grad_x = arguments.grad_x.as<float>();
  parallel_for(arguments.x.count(), grain, [&](std::int64_t first, std::int64_t last) {
    HWY_DYNAMIC_DISPATCH(backward)
    (arguments.kind, arguments.write, x + first, grad_y + first, grad_x + first, last - first);
  });
}

const bool registered = activation_forward.implement(DeviceKind::cpu, &forward_cpu) &&
                        activation_backward.implement(DeviceKind::cpu, &backward_cpu);

}  // namespace

void activate_on_cpu(const ActivationForward& arguments) {
  const float* x = arguments.x.as<float>();
  float* y = arguments.y.as<float>();
  parallel_for(arguments.x.count(), grain, [&](std::int64_t first, std::int64_t last) {
    HWY_DYNAMIC_DISPATCH(forward)(arguments.kind, x + first, y + first, last - first);
  });
}

}  // namespace tweedie
#endif  // HWY_ONCE
