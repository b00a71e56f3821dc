// Two-dimensional convolution on the host, for tensors of any strides.
#pragma once
#include <cuda_runtime_api.h>

#include <string>
#include <vector>

#include "libraries/values.h"

namespace tweedie::vgpu::libraries {

struct Tensor {  // a tensor (n, c, h, w) or a filter (k, c / groups, r, s)
  Type type = Type::f32;
  int64_t size[4] = {0, 0, 0, 0};
  int64_t stride[4] = {0, 0, 0, 0};
};
struct Geometry {
  int64_t pad[2] = {0, 0}, stride[2] = {1, 1}, dilation[2] = {1, 1};
  int64_t groups = 1;
  bool flip = false;  // a true convolution rather than a cross-correlation
};
enum class Pass { forward, data, filter };

struct Convolution {
  const char* call = "";
  Pass pass = Pass::forward;
  Geometry geometry;
  Tensor x, w, y;                         // descriptors of input, filter and output; the pass says which one is written
  const void *a = nullptr, *b = nullptr;  // the two operands that are read, in the order x, w, y
  void* out = nullptr;
  double alpha = 1, beta = 0;
};

// Empty when the shapes fit each other, otherwise what is wrong.
std::string problem_of(const Convolution& convolution);
int64_t output_size(int64_t input, int64_t pad, int64_t dilation, int64_t filter, int64_t stride);
cudaError_t run(const Convolution& convolution);
cudaError_t submit(cudaStream_t stream, const Convolution& convolution);

// The view of a whole tensor; null after a report.
void* view(const Tensor& tensor, const void* pointer, bool write, const char* call, const char* what);

}  // namespace tweedie::vgpu::libraries
