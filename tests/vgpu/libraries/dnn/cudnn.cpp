// cuDNN's handle, descriptors and v9 convolution entry points.
#include <cudnn.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

#include "libraries/dnn/convolution.h"
#include "libraries/interface.h"

using namespace tweedie::vgpu::libraries;

struct cudnnContext {
  cudaStream_t stream = nullptr;
};
struct cudnnTensorStruct {
  Tensor tensor;
};
struct cudnnFilterStruct {
  Tensor tensor;
  cudnnTensorFormat_t format = CUDNN_TENSOR_NCHW;
};
struct cudnnConvolutionStruct {
  Geometry geometry;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
  cudnnDataType_t compute = CUDNN_DATA_FLOAT;
};

namespace {

thread_local std::string last_error;

cudnnStatus_t refuse(cudnnStatus_t status, const std::string& text) {
  last_error = text;
  return status;
}

Type type_of(cudnnDataType_t type) {
  switch (type) {
    case CUDNN_DATA_FLOAT:
      return Type::f32;
    case CUDNN_DATA_DOUBLE:
      return Type::f64;
    case CUDNN_DATA_HALF:
      return Type::f16;
    case CUDNN_DATA_BFLOAT16:
      return Type::bf16;
    default:
      return Type::other;
  }
}
cudnnDataType_t public_type(Type type) {
  return type == Type::f64    ? CUDNN_DATA_DOUBLE
         : type == Type::f16  ? CUDNN_DATA_HALF
         : type == Type::bf16 ? CUDNN_DATA_BFLOAT16
                              : CUDNN_DATA_FLOAT;
}
cudnnStatus_t set(Tensor& t, cudnnTensorFormat_t format, cudnnDataType_t type, int64_t n, int64_t c, int64_t h,
                  int64_t w) {
  if (format == CUDNN_TENSOR_NCHW_VECT_C || type_of(type) == Type::other)
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, "format or type");
  if (n < 1 || c < 1 || h < 1 || w < 1) return refuse(CUDNN_STATUS_BAD_PARAM, "a size is not positive");
  t.type = type_of(type);
  const int64_t size[4] = {n, c, h, w};
  std::copy(size, size + 4, t.size);
  if (format == CUDNN_TENSOR_NHWC) {
    const int64_t stride[4] = {h * w * c, 1, w * c, c};
    std::copy(stride, stride + 4, t.stride);
  } else {
    const int64_t stride[4] = {c * h * w, h * w, w, 1};
    std::copy(stride, stride + 4, t.stride);
  }
  return CUDNN_STATUS_SUCCESS;
}

double scalar(const Tensor& t, const void* value) {
  return t.type == Type::f64 ? *static_cast<const double*>(value)
                             : static_cast<double>(*static_cast<const float*>(value));
}

cudnnStatus_t convolve(cudnnHandle_t handle, Convolution v, const void* alpha, const void* beta, const void* workspace,
                       size_t bytes) {
  if (!handle || !alpha || !beta || !v.a || !v.b || !v.out) return refuse(CUDNN_STATUS_BAD_PARAM, "a null pointer");
  const std::string problem = problem_of(v);
  if (!problem.empty()) {
    vgpu_interface_report((std::string("launch: ") + v.call + ": " + problem).c_str());
    return refuse(CUDNN_STATUS_BAD_PARAM, problem);
  }
  if (workspace && bytes && !vgpu_interface_view(workspace, bytes, 0, 1, 1, v.call, "the workspace"))
    return refuse(CUDNN_STATUS_EXECUTION_FAILED, "the workspace");
  v.alpha = scalar(v.x, alpha);
  v.beta = scalar(v.x, beta);
  return submit(handle->stream, v) == cudaSuccess ? CUDNN_STATUS_SUCCESS
                                                  : refuse(CUDNN_STATUS_EXECUTION_FAILED, v.call);
}

// The virtual GPU has one algorithm, that cuDNN numbers 1 for each pass; it asks for a small workspace, so that a
// program that gives none where one is asked for is seen.
constexpr size_t kWorkspace = 4096;
template <class Perf, class Algorithm>
cudnnStatus_t offer(Algorithm algorithm, int wanted, int* count, Perf* results) {
  if (wanted < 1) return refuse(CUDNN_STATUS_BAD_PARAM, "no algorithm is asked for");
  std::memset(results, 0, sizeof *results);
  results->algo = algorithm;
  results->status = CUDNN_STATUS_SUCCESS;
  results->time = 1.0f;
  results->memory = kWorkspace;
  results->determinism = CUDNN_DETERMINISTIC;
  results->mathType = CUDNN_DEFAULT_MATH;
  *count = 1;
  return CUDNN_STATUS_SUCCESS;
}
constexpr auto kForward = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
constexpr auto kData = CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
constexpr auto kFilter = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;

Convolution make(const char* call, Pass pass, const cudnnConvolutionDescriptor_t c, const Tensor& x, const Tensor& w,
                 const Tensor& y, const void* a, const void* b, void* out) {
  Convolution v;
  v.call = call;
  v.pass = pass;
  v.geometry = c->geometry;
  v.x = x, v.w = w, v.y = y;
  v.a = a, v.b = b, v.out = out;
  return v;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

size_t cudnnGetVersion() {
  return CUDNN_VERSION;
}
size_t cudnnGetCudartVersion() {
  return CUDART_VERSION;
}
const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUCCESS:
      return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_BAD_PARAM:
      return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_EXECUTION_FAILED:
      return "CUDNN_STATUS_EXECUTION_FAILED";
    default:
      return "CUDNN_STATUS_INTERNAL_ERROR";
  }
}
void cudnnGetLastErrorString(char* message, size_t size) {
  std::snprintf(message, size, "%s", last_error.c_str());
}
cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = new cudnnContext;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetStream(cudnnHandle_t handle, cudaStream_t* stream) {
  *stream = handle->stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* t) {
  *t = new cudnnTensorStruct;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t t) {
  delete t;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t t, cudnnTensorFormat_t format, cudnnDataType_t type,
                                         int n, int c, int h, int w) {
  return set(t->tensor, format, type, n, c, h, w);
}
cudnnStatus_t cudnnSetTensor4dDescriptorEx(cudnnTensorDescriptor_t t, cudnnDataType_t type, int n, int c, int h, int w,
                                           int ns, int cs, int hs, int ws) {
  const cudnnStatus_t status = set(t->tensor, CUDNN_TENSOR_NCHW, type, n, c, h, w);
  const int stride[4] = {ns, cs, hs, ws};
  std::copy(stride, stride + 4, t->tensor.stride);
  return status;
}
cudnnStatus_t cudnnGetTensor4dDescriptor(const cudnnTensorDescriptor_t t, cudnnDataType_t* type, int* n, int* c, int* h,
                                         int* w, int* ns, int* cs, int* hs, int* ws) {
  int* sizes[4] = {n, c, h, w};
  int* strides[4] = {ns, cs, hs, ws};
  for (int k = 0; k < 4; ++k)
    *sizes[k] = static_cast<int>(t->tensor.size[k]), *strides[k] = static_cast<int>(t->tensor.stride[k]);
  *type = public_type(t->tensor.type);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t t, cudnnDataType_t type, int dims, const int size[],
                                         const int stride[]) {
  if (dims != 4) return refuse(CUDNN_STATUS_NOT_SUPPORTED, "only four dimensions are modelled");
  return cudnnSetTensor4dDescriptorEx(t, type, size[0], size[1], size[2], size[3], stride[0], stride[1], stride[2],
                                      stride[3]);
}
cudnnStatus_t cudnnSetTensorNdDescriptorEx(cudnnTensorDescriptor_t t, cudnnTensorFormat_t format, cudnnDataType_t type,
                                           int dims, const int size[]) {
  if (dims != 4) return refuse(CUDNN_STATUS_NOT_SUPPORTED, "only four dimensions are modelled");
  return set(t->tensor, format, type, size[0], size[1], size[2], size[3]);
}

cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* f) {
  *f = new cudnnFilterStruct;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t f) {
  delete f;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t f, cudnnDataType_t type, cudnnTensorFormat_t format,
                                         int k, int c, int h, int w) {
  f->format = format;
  return set(f->tensor, format, type, k, c, h, w);
}
cudnnStatus_t cudnnSetFilterNdDescriptor(cudnnFilterDescriptor_t f, cudnnDataType_t type, cudnnTensorFormat_t format,
                                         int dims, const int size[]) {
  if (dims != 4) return refuse(CUDNN_STATUS_NOT_SUPPORTED, "only four dimensions are modelled");
  return cudnnSetFilter4dDescriptor(f, type, format, size[0], size[1], size[2], size[3]);
}

cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* c) {
  *c = new cudnnConvolutionStruct;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t c) {
  delete c;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t c, int ph, int pw, int sh, int sw, int dh,
                                              int dw, cudnnConvolutionMode_t mode, cudnnDataType_t compute) {
  if (ph < 0 || pw < 0 || sh < 1 || sw < 1 || dh < 1 || dw < 1)
    return refuse(CUDNN_STATUS_BAD_PARAM, "padding, stride or dilation");
  c->geometry.pad[0] = ph, c->geometry.pad[1] = pw;
  c->geometry.stride[0] = sh, c->geometry.stride[1] = sw;
  c->geometry.dilation[0] = dh, c->geometry.dilation[1] = dw;
  c->geometry.flip = mode == CUDNN_CONVOLUTION;
  c->compute = compute;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionNdDescriptor(cudnnConvolutionDescriptor_t c, int dims, const int pad[],
                                              const int stride[], const int dilation[], cudnnConvolutionMode_t mode,
                                              cudnnDataType_t compute) {
  if (dims != 2) return refuse(CUDNN_STATUS_NOT_SUPPORTED, "only two dimensions are modelled");
  return cudnnSetConvolution2dDescriptor(c, pad[0], pad[1], stride[0], stride[1], dilation[0], dilation[1], mode,
                                         compute);
}
cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t c, int groups) {
  c->geometry.groups = groups;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionGroupCount(cudnnConvolutionDescriptor_t c, int* groups) {
  *groups = static_cast<int>(c->geometry.groups);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t c, cudnnMathType_t math) {
  c->math = math;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionMathType(cudnnConvolutionDescriptor_t c, cudnnMathType_t* math) {
  *math = c->math;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolution2dForwardOutputDim(const cudnnConvolutionDescriptor_t c,
                                                    const cudnnTensorDescriptor_t x, const cudnnFilterDescriptor_t w,
                                                    int* n, int* k, int* h, int* v) {
  const Geometry& g = c->geometry;
  *n = static_cast<int>(x->tensor.size[0]);
  *k = static_cast<int>(w->tensor.size[0]);
  *h = static_cast<int>(output_size(x->tensor.size[2], g.pad[0], g.dilation[0], w->tensor.size[2], g.stride[0]));
  *v = static_cast<int>(output_size(x->tensor.size[3], g.pad[1], g.dilation[1], w->tensor.size[3], g.stride[1]));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithmMaxCount(cudnnHandle_t, int* count) {
  *count = 1;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithmMaxCount(cudnnHandle_t, int* count) {
  *count = 1;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithmMaxCount(cudnnHandle_t, int* count) {
  *count = 1;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, const cudnnTensorDescriptor_t,
                                                     const cudnnFilterDescriptor_t, const cudnnConvolutionDescriptor_t,
                                                     const cudnnTensorDescriptor_t, const int wanted, int* count,
                                                     cudnnConvolutionFwdAlgoPerf_t* results) {
  return offer(kForward, wanted, count, results);
}
cudnnStatus_t cudnnFindConvolutionForwardAlgorithm(cudnnHandle_t, const cudnnTensorDescriptor_t,
                                                   const cudnnFilterDescriptor_t, const cudnnConvolutionDescriptor_t,
                                                   const cudnnTensorDescriptor_t, const int wanted, int* count,
                                                   cudnnConvolutionFwdAlgoPerf_t* results) {
  return offer(kForward, wanted, count, results);
}
cudnnStatus_t cudnnFindConvolutionForwardAlgorithmEx(cudnnHandle_t, const cudnnTensorDescriptor_t, const void*,
                                                     const cudnnFilterDescriptor_t, const void*,
                                                     const cudnnConvolutionDescriptor_t, const cudnnTensorDescriptor_t,
                                                     void*, const int wanted, int* count,
                                                     cudnnConvolutionFwdAlgoPerf_t* results, void*, size_t) {
  return offer(kForward, wanted, count, results);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t, const cudnnFilterDescriptor_t,
                                                          const cudnnTensorDescriptor_t,
                                                          const cudnnConvolutionDescriptor_t,
                                                          const cudnnTensorDescriptor_t, const int wanted, int* count,
                                                          cudnnConvolutionBwdDataAlgoPerf_t* results) {
  return offer(kData, wanted, count, results);
}
cudnnStatus_t cudnnFindConvolutionBackwardDataAlgorithm(cudnnHandle_t, const cudnnFilterDescriptor_t,
                                                        const cudnnTensorDescriptor_t,
                                                        const cudnnConvolutionDescriptor_t,
                                                        const cudnnTensorDescriptor_t, const int wanted, int* count,
                                                        cudnnConvolutionBwdDataAlgoPerf_t* results) {
  return offer(kData, wanted, count, results);
}
cudnnStatus_t cudnnFindConvolutionBackwardDataAlgorithmEx(cudnnHandle_t, const cudnnFilterDescriptor_t, const void*,
                                                          const cudnnTensorDescriptor_t, const void*,
                                                          const cudnnConvolutionDescriptor_t,
                                                          const cudnnTensorDescriptor_t, void*, const int wanted,
                                                          int* count, cudnnConvolutionBwdDataAlgoPerf_t* results, void*,
                                                          size_t) {
  return offer(kData, wanted, count, results);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t, const cudnnTensorDescriptor_t,
                                                            const cudnnTensorDescriptor_t,
                                                            const cudnnConvolutionDescriptor_t,
                                                            const cudnnFilterDescriptor_t, const int wanted, int* count,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t* results) {
  return offer(kFilter, wanted, count, results);
}
cudnnStatus_t cudnnFindConvolutionBackwardFilterAlgorithm(cudnnHandle_t, const cudnnTensorDescriptor_t,
                                                          const cudnnTensorDescriptor_t,
                                                          const cudnnConvolutionDescriptor_t,
                                                          const cudnnFilterDescriptor_t, const int wanted, int* count,
                                                          cudnnConvolutionBwdFilterAlgoPerf_t* results) {
  return offer(kFilter, wanted, count, results);
}
cudnnStatus_t cudnnFindConvolutionBackwardFilterAlgorithmEx(cudnnHandle_t, const cudnnTensorDescriptor_t, const void*,
                                                            const cudnnTensorDescriptor_t, const void*,
                                                            const cudnnConvolutionDescriptor_t,
                                                            const cudnnFilterDescriptor_t, void*, const int wanted,
                                                            int* count, cudnnConvolutionBwdFilterAlgoPerf_t* results,
                                                            void*, size_t) {
  return offer(kFilter, wanted, count, results);
}
cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t, const cudnnTensorDescriptor_t,
                                                      const cudnnFilterDescriptor_t, const cudnnConvolutionDescriptor_t,
                                                      const cudnnTensorDescriptor_t, cudnnConvolutionFwdAlgo_t,
                                                      size_t* bytes) {
  *bytes = kWorkspace;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t, const cudnnFilterDescriptor_t,
                                                           const cudnnTensorDescriptor_t,
                                                           const cudnnConvolutionDescriptor_t,
                                                           const cudnnTensorDescriptor_t, cudnnConvolutionBwdDataAlgo_t,
                                                           size_t* bytes) {
  *bytes = kWorkspace;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnnHandle_t, const cudnnTensorDescriptor_t,
                                                             const cudnnTensorDescriptor_t,
                                                             const cudnnConvolutionDescriptor_t,
                                                             const cudnnFilterDescriptor_t,
                                                             cudnnConvolutionBwdFilterAlgo_t, size_t* bytes) {
  *bytes = kWorkspace;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void* alpha, const cudnnTensorDescriptor_t xd,
                                      const void* x, const cudnnFilterDescriptor_t wd, const void* w,
                                      const cudnnConvolutionDescriptor_t c, cudnnConvolutionFwdAlgo_t, void* workspace,
                                      size_t bytes, const void* beta, const cudnnTensorDescriptor_t yd, void* y) {
  return convolve(handle,
                  make("cudnnConvolutionForward", Pass::forward, c, xd->tensor, wd->tensor, yd->tensor, x, w, y), alpha,
                  beta, workspace, bytes);
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void* alpha, const cudnnFilterDescriptor_t wd,
                                           const void* w, const cudnnTensorDescriptor_t dyd, const void* dy,
                                           const cudnnConvolutionDescriptor_t c, cudnnConvolutionBwdDataAlgo_t,
                                           void* workspace, size_t bytes, const void* beta,
                                           const cudnnTensorDescriptor_t dxd, void* dx) {
  return convolve(handle,
                  make("cudnnConvolutionBackwardData", Pass::data, c, dxd->tensor, wd->tensor, dyd->tensor, w, dy, dx),
                  alpha, beta, workspace, bytes);
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void* alpha, const cudnnTensorDescriptor_t xd,
                                             const void* x, const cudnnTensorDescriptor_t dyd, const void* dy,
                                             const cudnnConvolutionDescriptor_t c, cudnnConvolutionBwdFilterAlgo_t,
                                             void* workspace, size_t bytes, const void* beta,
                                             const cudnnFilterDescriptor_t dwd, void* dw) {
  return convolve(
      handle, make("cudnnConvolutionBackwardFilter", Pass::filter, c, xd->tensor, dwd->tensor, dyd->tensor, x, dy, dw),
      alpha, beta, workspace, bytes);
}

}  // extern "C"
#pragma GCC visibility pop
