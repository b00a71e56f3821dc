// cuBLASLt: matmul with its descriptors, which live in the caller's opaque structures.
#include <cublasLt.h>

#include <cstring>

#include "libraries/blas/gemm.h"

using namespace tweedie::vgpu::libraries;

namespace {

struct Layout {
  int32_t type, order;
  uint64_t rows, columns;
  int64_t ld;
  int32_t batch, unused;
  int64_t stride;
};
static_assert(sizeof(Layout) <= sizeof(cublasLtMatrixLayoutOpaque_t));

struct Description {
  int32_t compute, scale_type, pointer_mode, transpose_a, transpose_b, transpose_c;
  uint32_t epilogue;
  int32_t bias_type;
  const void* bias;
  uint32_t unsupported;  // attributes that were set and mean something that is not modelled
};
static_assert(sizeof(Description) <= sizeof(cublasLtMatmulDescOpaque_t));

Layout& of(cublasLtMatrixLayout_t layout) {
  return *reinterpret_cast<Layout*>(layout);
}
Description& of(cublasLtMatmulDesc_t description) {
  return *reinterpret_cast<Description*>(description);
}

template <class T>
cublasStatus_t take(T& field, const void* from, size_t bytes) {
  if (bytes != sizeof field) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&field, from, sizeof field);
  return CUBLAS_STATUS_SUCCESS;
}

Matrix matrix_of(const void* pointer, cublasLtMatrixLayout_t layout) {
  const Layout& l = of(layout);
  Matrix m;
  m.pointer = pointer;
  m.type = type_of(static_cast<cudaDataType_t>(l.type));
  m.rows = static_cast<int64_t>(l.rows);
  m.columns = static_cast<int64_t>(l.columns);
  m.ld = l.ld;
  m.batch_stride = l.stride;
  m.row_major = l.order == CUBLASLT_ORDER_ROW;
  return m;
}

cublasStatus_t build(const Description& description, const void* alpha, const void* a, cublasLtMatrixLayout_t la,
                     const void* b, cublasLtMatrixLayout_t lb, const void* beta, const void* c,
                     cublasLtMatrixLayout_t lc, void* d, cublasLtMatrixLayout_t ld, Gemm& gemm) {
  if (description.unsupported) return CUBLAS_STATUS_NOT_SUPPORTED;
  gemm.call = "cublasLtMatmul";
  gemm.transpose_a = description.transpose_a != CUBLAS_OP_N;
  gemm.transpose_b = description.transpose_b != CUBLAS_OP_N;
  gemm.a = matrix_of(a, la);
  gemm.b = matrix_of(b, lb);
  gemm.c = matrix_of(c, lc);
  gemm.d = matrix_of(d, ld);
  gemm.batch = of(ld).batch;
  gemm.scalar = type_of(static_cast<cudaDataType_t>(description.scale_type));
  if (gemm.scalar == Type::other) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (description.pointer_mode == CUBLASLT_POINTER_MODE_HOST) {
    if (alpha) gemm.alpha = load(gemm.scalar, alpha, 0);
    if (beta) gemm.beta = load(gemm.scalar, beta, 0);
  } else if (description.pointer_mode == CUBLASLT_POINTER_MODE_DEVICE) {
    gemm.alpha_device = alpha;
    gemm.beta_device = beta;
  } else {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  switch (description.epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
      break;
    case CUBLASLT_EPILOGUE_BIAS:
      gemm.bias = description.bias;
      break;
    case CUBLASLT_EPILOGUE_RELU:
      gemm.activation = Gemm::Activation::relu;
      break;
    case CUBLASLT_EPILOGUE_RELU_BIAS:
      gemm.activation = Gemm::Activation::relu, gemm.bias = description.bias;
      break;
    case CUBLASLT_EPILOGUE_GELU:
      gemm.activation = Gemm::Activation::gelu;
      break;
    case CUBLASLT_EPILOGUE_GELU_BIAS:
      gemm.activation = Gemm::Activation::gelu, gemm.bias = description.bias;
      break;
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  gemm.bias_type =
      description.bias_type < 0 ? gemm.d.type : type_of(static_cast<cudaDataType_t>(description.bias_type));
  switch (check(gemm)) {
    case Verdict::bad_argument:
      return CUBLAS_STATUS_INVALID_VALUE;
    case Verdict::unsupported:
      return CUBLAS_STATUS_NOT_SUPPORTED;
    default:
      return CUBLAS_STATUS_SUCCESS;
  }
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(new int(0));
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete reinterpret_cast<int*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}
size_t cublasLtGetVersion() {
  return CUBLAS_VERSION;
}
size_t cublasLtGetCudartVersion() {
  return CUDART_VERSION;
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t bytes, cudaDataType type,
                                                 uint64_t rows, uint64_t columns, int64_t ld) {
  if (bytes < sizeof(Layout)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memset(layout, 0, bytes);
  of(layout) = {static_cast<int32_t>(type), CUBLASLT_ORDER_COL, rows, columns, ld, 1, 0, 0};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t ld) {
  *layout = new cublasLtMatrixLayoutOpaque_t;
  return cublasLtMatrixLayoutInit_internal(*layout, sizeof **layout, type, rows, columns, ld);
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  Layout& l = of(layout);
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
      return take(l.type, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
      return take(l.order, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
      return take(l.rows, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
      return take(l.columns, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_LD:
      return take(l.ld, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
      return take(l.batch, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
      return take(l.stride, value, bytes);
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t description, size_t bytes,
                                               cublasComputeType_t compute, cudaDataType scale) {
  if (bytes < sizeof(Description)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memset(description, 0, bytes);
  of(description) = {static_cast<int32_t>(compute),
                     static_cast<int32_t>(scale),
                     0,
                     0,
                     0,
                     0,
                     CUBLASLT_EPILOGUE_DEFAULT,
                     -1,
                     nullptr,
                     0};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t compute,
                                        cudaDataType scale) {
  *description = new cublasLtMatmulDescOpaque_t;
  return cublasLtMatmulDescInit_internal(*description, sizeof **description, compute, scale);
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete description;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              size_t bytes) {
  Description& d = of(description);
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
      return take(d.compute, value, bytes);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
      return take(d.scale_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      return take(d.pointer_mode, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return take(d.transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return take(d.transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSC:
      return take(d.transpose_c, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return take(d.epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return take(d.bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return take(d.bias_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_FAST_ACCUM:
    case CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET:
      return CUBLAS_STATUS_SUCCESS;
    default:
      d.unsupported = 1;
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference, size_t bytes) {
  std::memset(preference, 0, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t{};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
                                                    const void*, size_t) {
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results, int* count) {
  *count = 0;
  Gemm gemm;
  const cublasStatus_t status =
      build(of(description), nullptr, nullptr, a, nullptr, b, nullptr, nullptr, c, nullptr, d, gemm);
  if (status != CUBLAS_STATUS_SUCCESS || wanted < 1) return status;
  std::memset(results, 0, sizeof *results);
  results->state = CUBLAS_STATUS_SUCCESS;
  results->wavesCount = 1;
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t description, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t la, const void* b, cublasLtMatrixLayout_t lb,
                              const void* beta, const void* c, cublasLtMatrixLayout_t lc, void* d,
                              cublasLtMatrixLayout_t ld, const cublasLtMatmulAlgo_t*, void*, size_t,
                              cudaStream_t stream) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  Gemm gemm;
  const cublasStatus_t status = build(of(description), alpha, a, la, b, lb, beta, c, lc, d, ld, gemm);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  return submit(stream, gemm) == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // extern "C"
#pragma GCC visibility pop
