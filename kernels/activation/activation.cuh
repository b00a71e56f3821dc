#pragma once

#include "kernels/activation/activation.h"

// The activations on the device, one value at a time: for activation_cuda.cu and for kernels that end in one.
namespace tweedie {

/// s = 1 / (1 + e), e = exp(-x); x is bounded below by -87, so that e stays finite.
__device__ inline float sigmoid(float x, float& e) {
  e = expf(-fmaxf(x, -87.0f));
  return 1.0f / (1.0f + e);
}
__device__ inline float silu(float x) {
  float e;
  return x * sigmoid(x, e);
}
/// s (1 + x (1 - s)), with 1 - s = e s, which does not cancel.
__device__ inline float silu_derivative(float x) {
  float e;
  const float s = sigmoid(x, e);
  return fmaf(x * s, e * s, s);
}

/// The normal distribution function.
__device__ inline float normal_distribution(float x) {
  return 0.5f * erfcf(-0.707106781f * x);
}

/// 2 sqrt(2 / pi) (x + 0.044715 x^3): gelu_tanh(x) = x sigmoid(of this), since 1 + tanh(u) = 2 sigmoid(2 u).
__device__ inline float gelu_tanh_argument(float x) {
  return x * fmaf(x * x, 0.0713548162f, 1.59576912f);
}
__device__ inline float gelu_tanh_derivative(float x) {
  // Beyond |x| = 10 the derivative is that of relu to the last bit; the bound keeps inf * 0 away, a NaN stays.
  if (fabsf(x) > 10.0f) return x > 0.0f ? 1.0f : 0.0f;
  float e;
  const float s = sigmoid(gelu_tanh_argument(x), e);
  return fmaf(x * fmaf(x * x, 0.214064449f, 1.59576912f) * s, e * s, s);
}

__device__ inline float activate(ActivationKind kind, float x) {
  switch (kind) {
    case ActivationKind::silu:
      return silu(x);
    case ActivationKind::gelu:
      return x * normal_distribution(x);
    case ActivationKind::gelu_tanh: {
      float e;
      return x * sigmoid(gelu_tanh_argument(x), e);
    }
    case ActivationKind::relu:
      return x < 0.0f ? 0.0f : x;  // not fmaxf: a NaN stays a NaN
  }
  return x;
}

__device__ inline float activation_derivative(ActivationKind kind, float x) {
  switch (kind) {
    case ActivationKind::silu:
      return silu_derivative(x);
    case ActivationKind::gelu:
      return fmaf(0.398942280f * x, expf(-0.5f * x * x), normal_distribution(x));
    case ActivationKind::gelu_tanh:
      return gelu_tanh_derivative(x);
    case ActivationKind::relu:
      return x > 0.0f ? 1.0f : 0.0f;
  }
  return 0.0f;
}

}  // namespace tweedie
