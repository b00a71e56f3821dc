// cuBLAS entry points.
#include <cublas_v2.h>

#include <cstring>

#include "libraries/blas/gemm.h"

using namespace tweedie::vgpu::libraries;

struct cublasContext {
  cudaStream_t stream = nullptr;
  cublasPointerMode_t pointers = CUBLAS_POINTER_MODE_HOST;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
  cublasAtomicsMode_t atomics = CUBLAS_ATOMICS_NOT_ALLOWED;
};

namespace {

Type scalar_type(cublasComputeType_t compute) {
  switch (compute) {
    case CUBLAS_COMPUTE_16F:
    case CUBLAS_COMPUTE_16F_PEDANTIC:
      return Type::f16;
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
      return Type::f64;
    case CUBLAS_COMPUTE_32I:
    case CUBLAS_COMPUTE_32I_PEDANTIC:
      return Type::other;
    default:
      return Type::f32;
  }
}

Matrix stored(const void* pointer, Type type, bool transposed, int64_t rows, int64_t columns, int64_t ld,
              int64_t stride) {
  Matrix m;
  m.pointer = pointer;
  m.type = type;
  m.rows = transposed ? columns : rows;
  m.columns = transposed ? rows : columns;
  m.ld = ld;
  m.batch_stride = stride;
  return m;
}

struct Arguments {
  const char* call;
  cublasOperation_t ta, tb;
  int64_t m, n, k;
  const void *alpha, *beta;
  const void* a;
  Type a_type;
  int64_t lda, stride_a;
  const void* b;
  Type b_type;
  int64_t ldb, stride_b;
  void* c;
  Type c_type;
  int64_t ldc, stride_c;
  int64_t batch;
  Type scalar;
};

Gemm make(cublasHandle_t handle, const Arguments& x) {
  Gemm gemm;
  gemm.call = x.call;
  gemm.transpose_a = x.ta != CUBLAS_OP_N;
  gemm.transpose_b = x.tb != CUBLAS_OP_N;
  gemm.a = stored(x.a, x.a_type, gemm.transpose_a, x.m, x.k, x.lda, x.stride_a);
  gemm.b = stored(x.b, x.b_type, gemm.transpose_b, x.k, x.n, x.ldb, x.stride_b);
  gemm.c = stored(x.c, x.c_type, false, x.m, x.n, x.ldc, x.stride_c);
  gemm.d = gemm.c;
  gemm.batch = x.batch;
  gemm.scalar = x.scalar;
  if (handle->pointers == CUBLAS_POINTER_MODE_HOST) {
    gemm.alpha = load(x.scalar, x.alpha, 0);
    gemm.beta = load(x.scalar, x.beta, 0);
  } else {
    gemm.alpha_device = x.alpha;
    gemm.beta_device = x.beta;
  }
  return gemm;
}

cublasStatus_t status_of(cudaError_t error) {
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

cublasStatus_t gemm(cublasHandle_t handle, const Arguments& x) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!x.alpha || !x.beta || x.batch < 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (x.scalar == Type::other) return CUBLAS_STATUS_NOT_SUPPORTED;
  const Gemm made = make(handle, x);
  switch (check(made)) {
    case Verdict::bad_argument:
      return CUBLAS_STATUS_INVALID_VALUE;
    case Verdict::unsupported:
      return CUBLAS_STATUS_NOT_SUPPORTED;
    default:
      return status_of(submit(handle->stream, made));
  }
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t* stream) {
  *stream = handle->stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void*, size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
  handle->pointers = mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t* mode) {
  *mode = handle->pointers;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  handle->math = mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  *mode = handle->math;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode) {
  handle->atomics = mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t* mode) {
  *mode = handle->atomics;
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "CUBLAS_STATUS_LICENSE_ERROR";
  }
}
const char* cublasGetStatusString(cublasStatus_t status) {
  return cublasGetStatusName(status);
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                              const float* alpha, const float* a, int lda, const float* b, int ldb, const float* beta,
                              float* c, int ldc) {
  return gemm(handle, {"cublasSgemm", ta,  tb, m, n,         k,   alpha, beta, a,        Type::f32, lda, 0, b,
                       Type::f32,     ldb, 0,  c, Type::f32, ldc, 0,     1,    Type::f32});
}
cublasStatus_t cublasDgemm_v2(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                              const double* alpha, const double* a, int lda, const double* b, int ldb,
                              const double* beta, double* c, int ldc) {
  return gemm(handle, {"cublasDgemm", ta,  tb, m, n,         k,   alpha, beta, a,        Type::f64, lda, 0, b,
                       Type::f64,     ldb, 0,  c, Type::f64, ldc, 0,     1,    Type::f64});
}
cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m,
                                         int n, int k, const float* alpha, const float* a, int lda, long long sa,
                                         const float* b, int ldb, long long sb, const float* beta, float* c, int ldc,
                                         long long sc, int batch) {
  return gemm(handle, {"cublasSgemmStridedBatched",
                       ta,
                       tb,
                       m,
                       n,
                       k,
                       alpha,
                       beta,
                       a,
                       Type::f32,
                       lda,
                       sa,
                       b,
                       Type::f32,
                       ldb,
                       sb,
                       c,
                       Type::f32,
                       ldc,
                       sc,
                       batch,
                       Type::f32});
}
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                            const void* alpha, const void* a, cudaDataType at, int lda, const void* b, cudaDataType bt,
                            int ldb, const void* beta, void* c, cudaDataType ct, int ldc, cublasComputeType_t compute,
                            cublasGemmAlgo_t) {
  return gemm(handle, {"cublasGemmEx",
                       ta,
                       tb,
                       m,
                       n,
                       k,
                       alpha,
                       beta,
                       a,
                       type_of(at),
                       lda,
                       0,
                       b,
                       type_of(bt),
                       ldb,
                       0,
                       c,
                       type_of(ct),
                       ldc,
                       0,
                       1,
                       scalar_type(compute)});
}
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m,
                                          int n, int k, const void* alpha, const void* a, cudaDataType at, int lda,
                                          long long sa, const void* b, cudaDataType bt, int ldb, long long sb,
                                          const void* beta, void* c, cudaDataType ct, int ldc, long long sc, int batch,
                                          cublasComputeType_t compute, cublasGemmAlgo_t) {
  return gemm(handle, {"cublasGemmStridedBatchedEx",
                       ta,
                       tb,
                       m,
                       n,
                       k,
                       alpha,
                       beta,
                       a,
                       type_of(at),
                       lda,
                       sa,
                       b,
                       type_of(bt),
                       ldb,
                       sb,
                       c,
                       type_of(ct),
                       ldc,
                       sc,
                       batch,
                       scalar_type(compute)});
}

}  // extern "C"
#pragma GCC visibility pop
