// The elementwise operations that no training step waits for: plain loops.
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/elementwise/elementwise.h"
#include "kernels/runtime/parallel.h"

namespace tweedie {

constinit Operation<UnaryBackward> unary_backward{"unary_backward"};
constinit Operation<FillValue> fill_value{"fill_value"};
constinit Operation<Cast> cast{"cast"};

namespace {

constexpr std::int64_t grain = 16384;  // elements worth waking a thread for

float derivative(UnaryKind kind, float x, float y) {
  switch (kind) {
    case UnaryKind::negate:
      return -1.0f;
    case UnaryKind::exp:
      return y;
    case UnaryKind::log:
      return 1.0f / x;
    case UnaryKind::sqrt:
      return 0.5f / y;
    case UnaryKind::square:
      return 2.0f * x;
    case UnaryKind::reciprocal:
      return -y * y;
    case UnaryKind::tanh: {
      // 1 - y^2 loses its digits where y is near 1; with e = exp(-2 |x|) it is 4 e / (1 + e)^2.
      const float e = std::exp(-2.0f * std::abs(x));
      return 4.0f * e / ((1.0f + e) * (1.0f + e));
    }
    case UnaryKind::sin:
      return std::cos(x);
    case UnaryKind::cos:
      return -std::sin(x);
  }
  fail("unary_backward: unknown kind {}", static_cast<int>(kind));
}

void unary_backward_cpu(Stream&, const UnaryBackward& arguments) {
  const float* x = arguments.x.as<float>();
  const float* y = arguments.y.as<float>();
  const float* grad_y = arguments.grad_y.as<float>();
  float* grad_x = arguments.grad_x.as<float>();
  const bool accumulate = arguments.write == Write::accumulate;
  parallel_for(arguments.x.count(), grain, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i)
      grad_x[i] = (accumulate ? grad_x[i] : 0.0f) + grad_y[i] * derivative(arguments.kind, x[i], y[i]);
  });
}

/// bfloat16 as the upper half of a float32.
struct BFloat16 {
  std::uint16_t bits;
};

double read(float value) {
  return value;
}
double read(double value) {
  return value;
}
double read(BFloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}
double read(std::uint8_t value) {
  return value;
}

void write(double value, float& out) {
  out = static_cast<float>(value);
}
void write(double value, double& out) {
  out = value;
}
void write(double value, BFloat16& out) {
  // Through float32 with round to odd, so that the second rounding cannot undo the first.
  const auto nearest = static_cast<float>(value);
  auto bits = std::bit_cast<std::uint32_t>(nearest);
  if (std::isnan(value)) {
    out.bits = static_cast<std::uint16_t>((bits >> 16) | 0x40);
    return;
  }
  const double error = value - static_cast<double>(nearest);
  if (error != 0.0 && std::isfinite(nearest) && (bits & 1) == 0) {
    const bool away_from_zero = (error > 0.0) == (nearest > 0.0f) && nearest != 0.0f;
    bits += away_from_zero || nearest == 0.0f ? 1 : -1;
  }
  out.bits = static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
void write(double value, std::uint8_t& out) {
  const double rounded = std::nearbyint(value);
  out = rounded > 0.0 ? static_cast<std::uint8_t>(rounded < 255.0 ? rounded : 255.0) : 0;  // NaN becomes 0
}
void write(double value, std::int64_t& out) {
  require(std::abs(value) < 0x1p63, "cast: {} does not fit int64", value);
  out = static_cast<std::int64_t>(std::nearbyint(value));
}

template <class From, class To>
void cast_all(const Array& from, const Array& to) {
  const auto* x = static_cast<const From*>(from.data);
  auto* y = static_cast<To*>(to.data);
  parallel_for(from.count(), grain, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      if constexpr (std::is_same_v<From, std::int64_t>) {
        if constexpr (std::is_same_v<To, std::int64_t>)
          y[i] = x[i];
        else if constexpr (std::is_same_v<To, float>)
          y[i] = static_cast<float>(x[i]);  // one rounding
        else
          write(static_cast<double>(x[i]), y[i]);
      } else {
        write(read(x[i]), y[i]);
      }
    }
  });
}

template <class From>
void cast_from(const Array& x, const Array& y) {
  switch (y.dtype) {
    case DType::float32:
      return cast_all<From, float>(x, y);
    case DType::float64:
      return cast_all<From, double>(x, y);
    case DType::bfloat16:
      return cast_all<From, BFloat16>(x, y);
    case DType::int64:
      return cast_all<From, std::int64_t>(x, y);
    case DType::uint8:
      return cast_all<From, std::uint8_t>(x, y);
  }
}

void cast_cpu(Stream&, const Cast& arguments) {
  switch (arguments.x.dtype) {
    case DType::float32:
      return cast_from<float>(arguments.x, arguments.y);
    case DType::float64:
      return cast_from<double>(arguments.x, arguments.y);
    case DType::bfloat16:
      return cast_from<BFloat16>(arguments.x, arguments.y);
    case DType::int64:
      return cast_from<std::int64_t>(arguments.x, arguments.y);
    case DType::uint8:
      return cast_from<std::uint8_t>(arguments.x, arguments.y);
  }
}

template <class T>
void fill(const Array& out, T value) {
  T* data = static_cast<T*>(out.data);
  parallel_for(out.count(), grain, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) data[i] = value;
  });
}

void fill_value_cpu(Stream&, const FillValue& arguments) {
  switch (arguments.out.dtype) {
    case DType::float32:
      return fill(arguments.out, static_cast<float>(arguments.value));
    case DType::float64:
      return fill(arguments.out, arguments.value);
    case DType::bfloat16: {
      BFloat16 value;
      write(arguments.value, value);
      return fill(arguments.out, value);
    }
    case DType::int64: {
      std::int64_t value;
      write(arguments.value, value);
      return fill(arguments.out, value);
    }
    case DType::uint8: {
      std::uint8_t value;
      write(arguments.value, value);
      return fill(arguments.out, value);
    }
  }
}

const bool registered = unary_backward.implement(DeviceKind::cpu, &unary_backward_cpu) &&
                        fill_value.implement(DeviceKind::cpu, &fill_value_cpu, Bfloat16Operands::as_stored) &&
                        cast.implement(DeviceKind::cpu, &cast_cpu, Bfloat16Operands::as_stored);

}  // namespace
}  // namespace tweedie
