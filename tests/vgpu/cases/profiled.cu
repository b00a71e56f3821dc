// Kernels with known traffic, for the profile's test.
#include "harness.h"

__global__ void coalesced(const float* x, float* y) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  y[i] = x[i] + 1;
}
__global__ void strided(const float* x, float* y) {
  const int i = threadIdx.x;
  y[i] = x[i * 8];
}
__global__ void conflicts(float* y) {
  __shared__ float box[32 * 33];
  const int i = threadIdx.x;
  box[i * 32] = i;
  __syncwarp();
  y[i] = box[i * 33];
}
CASE(traffic) {
  Device<float> x(std::vector<float>(4096, 1)), y(4096);
  coalesced<<<32, 128>>>(x, y);
  strided<<<1, 32>>>(x, y);
  conflicts<<<1, 32>>>(y);
}
