// cuBLAS, cuBLASLt and cuDNN against plain loops, and calls with planted mistakes.
#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cudnn.h>

#include "harness.h"

#define BLAS(call) CHECK((call) == CUBLAS_STATUS_SUCCESS)
#define DNN(call) CHECK((call) == CUDNN_STATUS_SUCCESS)

namespace {

std::vector<float> numbers(size_t n, int seed) {
  Numbers source(seed);
  std::vector<float> list(n);
  for (auto& x : list) x = source.signed_unit();
  return list;
}

CASE(sgemm) {
  const int m = 5, n = 7, k = 9, lda = 11, ldb = 10, ldc = 6;
  cublasHandle_t handle;
  BLAS(cublasCreate(&handle));
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      const auto a = numbers(lda * 9, 1), b = numbers(ldb * 9, 2), c = numbers(ldc * n, 3);
      Device<float> da(a), db(b), dc(c);
      const float alpha = 2, beta = 0.5f;
      BLAS(cublasSgemm(handle, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k, &alpha, da, lda,
                       db, ldb, &beta, dc, ldc));
      const auto got = dc.get();
      for (int j = 0; j < n; ++j)
        for (int i = 0; i < m; ++i) {
          double sum = 0;
          for (int p = 0; p < k; ++p)
            sum += double(ta ? a[i * lda + p] : a[p * lda + i]) * (tb ? b[p * ldb + j] : b[j * ldb + p]);
          CHECK(close(got[j * ldc + i], 2 * sum + 0.5 * c[j * ldc + i], 1e-5));
        }
      CHECK(got[m] == c[m]);
    }
  BLAS(cublasDestroy(handle));
}

CASE(gemm_bf16_batched) {
  const int n = 4, batch = 3;
  cublasHandle_t handle;
  BLAS(cublasCreate(&handle));
  std::vector<__nv_bfloat16> a(n * n * batch), b(n * n * batch);
  for (size_t i = 0; i < a.size(); ++i)
    a[i] = __nv_bfloat16(float(int(i % 7) - 3)), b[i] = __nv_bfloat16(float(int(i % 5) - 2));
  Device<__nv_bfloat16> da(a), db(b);
  Device<float> dc(n * n * batch);
  const float alpha = 1, beta = 0;
  BLAS(cublasGemmStridedBatchedEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &alpha, da, CUDA_R_16BF, n, n * n, db,
                                  CUDA_R_16BF, n, n * n, &beta, dc, CUDA_R_32F, n, n * n, batch, CUBLAS_COMPUTE_32F,
                                  CUBLAS_GEMM_DEFAULT));
  const auto c = dc.get();
  for (int t = 0; t < batch; ++t)
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) {
        float sum = 0;
        for (int p = 0; p < n; ++p) sum += float(a[t * n * n + p * n + i]) * float(b[t * n * n + j * n + p]);
        CHECK(c[t * n * n + j * n + i] == sum);
      }
  BLAS(cublasDestroy(handle));
}

CASE(lt_matmul) {
  const int m = 6, n = 5, k = 8;
  cublasLtHandle_t handle;
  BLAS(cublasLtCreate(&handle));
  const auto a = numbers(m * k, 1), b = numbers(k * n, 2), bias = numbers(m, 3);
  Device<float> da(a), db(b), dbias(bias), dd(m * n);
  cublasLtMatmulDesc_t operation;
  BLAS(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const cublasOperation_t transpose = CUBLAS_OP_T;
  BLAS(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, sizeof transpose));
  const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_RELU_BIAS;
  BLAS(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
  const float* pointer = dbias;
  BLAS(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &pointer, sizeof pointer));
  cublasLtMatrixLayout_t la, lb, ld;
  BLAS(cublasLtMatrixLayoutCreate(&la, CUDA_R_32F, k, m, k));
  BLAS(cublasLtMatrixLayoutCreate(&lb, CUDA_R_32F, k, n, k));
  BLAS(cublasLtMatrixLayoutCreate(&ld, CUDA_R_32F, m, n, m));
  cublasLtMatmulPreference_t preference;
  BLAS(cublasLtMatmulPreferenceCreate(&preference));
  cublasLtMatmulHeuristicResult_t result;
  int found = 0;
  BLAS(cublasLtMatmulAlgoGetHeuristic(handle, operation, la, lb, ld, ld, preference, 1, &result, &found));
  CHECK(found == 1);
  const float alpha = 1, beta = 0;
  BLAS(cublasLtMatmul(handle, operation, &alpha, da, la, db, lb, &beta, dd, ld, dd, ld, &result.algo, nullptr, 0,
                      nullptr));
  const auto d = dd.get();
  for (int j = 0; j < n; ++j)
    for (int i = 0; i < m; ++i) {
      double sum = bias[i];
      for (int p = 0; p < k; ++p) sum += double(a[i * k + p]) * b[j * k + p];
      CHECK(close(d[j * m + i], sum > 0 ? sum : 0, 1e-5));
    }
  BLAS(cublasLtDestroy(handle));
}

CASE(convolution) {
  const int n = 2, h = 6, w = 5, c = 4, k = 6, r = 3, s = 3, groups = 2, stride = 2, pad = 1;
  const int oh = (h + 2 * pad - r) / stride + 1, ow = (w + 2 * pad - s) / stride + 1, cg = c / groups, kg = k / groups;
  cudnnHandle_t handle;
  DNN(cudnnCreate(&handle));
  cudnnTensorDescriptor_t xd, yd;
  cudnnFilterDescriptor_t wd;
  cudnnConvolutionDescriptor_t cd;
  DNN(cudnnCreateTensorDescriptor(&xd));
  DNN(cudnnCreateTensorDescriptor(&yd));
  DNN(cudnnCreateFilterDescriptor(&wd));
  DNN(cudnnCreateConvolutionDescriptor(&cd));
  DNN(cudnnSetTensor4dDescriptor(xd, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, n, c, h, w));
  DNN(cudnnSetFilter4dDescriptor(wd, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC, k, cg, r, s));
  DNN(cudnnSetConvolution2dDescriptor(cd, pad, pad, stride, stride, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  DNN(cudnnSetConvolutionGroupCount(cd, groups));
  int on, oc, gh, gw;
  DNN(cudnnGetConvolution2dForwardOutputDim(cd, xd, wd, &on, &oc, &gh, &gw));
  CHECK(on == n && oc == k && gh == oh && gw == ow);
  DNN(cudnnSetTensor4dDescriptor(yd, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, n, k, oh, ow));
  const auto x = numbers(n * h * w * c, 1), f = numbers(k * r * s * cg, 2), dy = numbers(n * oh * ow * k, 3);
  Device<float> dx(x), df(f), ddy(dy), y(dy.size()), gx(x.size()), gf(f.size());
  cudnnConvolutionFwdAlgoPerf_t perf;
  int count = 0;
  DNN(cudnnGetConvolutionForwardAlgorithm_v7(handle, xd, wd, cd, yd, 1, &count, &perf));
  size_t bytes = 0;
  DNN(cudnnGetConvolutionForwardWorkspaceSize(handle, xd, wd, cd, yd, perf.algo, &bytes));
  Device<char> workspace(bytes);
  const float one = 1, zero = 0;
  DNN(cudnnConvolutionForward(handle, &one, xd, dx, wd, df, cd, perf.algo, workspace, bytes, &zero, yd, y));
  DNN(cudnnConvolutionBackwardData(handle, &one, wd, df, yd, ddy, cd, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, workspace,
                                   bytes, &zero, xd, gx));
  DNN(cudnnConvolutionBackwardFilter(handle, &one, xd, dx, yd, ddy, cd, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, workspace,
                                     bytes, &zero, wd, gf));
  std::vector<double> ey(dy.size()), ex(x.size()), ef(f.size());
  for (int b = 0; b < n; ++b)
    for (int p = 0; p < oh; ++p)
      for (int q = 0; q < ow; ++q)
        for (int o = 0; o < k; ++o)
          for (int i = 0; i < r; ++i)
            for (int j = 0; j < s; ++j)
              for (int z = 0; z < cg; ++z) {
                const int row = p * stride - pad + i, column = q * stride - pad + j;
                if (row < 0 || row >= h || column < 0 || column >= w) continue;
                const int xi = ((b * h + row) * w + column) * c + o / kg * cg + z, fi = ((o * r + i) * s + j) * cg + z,
                          yi = ((b * oh + p) * ow + q) * k + o;
                ey[yi] += double(x[xi]) * f[fi];
                ex[xi] += double(dy[yi]) * f[fi];
                ef[fi] += double(dy[yi]) * x[xi];
              }
  const auto gy = y.get(), hx = gx.get(), hf = gf.get();
  for (size_t i = 0; i < ey.size(); ++i) CHECK(close(gy[i], ey[i], 1e-5));
  for (size_t i = 0; i < ex.size(); ++i) CHECK(close(hx[i], ex[i], 1e-5));
  for (size_t i = 0; i < ef.size(); ++i) CHECK(close(hf[i], ef[i], 1e-5));
  DNN(cudnnDestroy(handle));
}

// What follows is wrong on purpose, and runs only when named.
void wrong(int rows, int lda) {
  cublasHandle_t handle;
  cublasCreate(&handle);
  Device<float> a(std::vector<float>(64, 1)), b(std::vector<float>(64, 1)), c(64);
  const float one = 1, zero = 0;
  cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, rows, 8, 8, &one, a, lda, b, 8, &zero, c, 8);
}

}  // namespace

int planted(const std::string& name) {
  if (name == "wrong_leading_dimension") wrong(8, 9);
  if (name == "small_leading_dimension") wrong(8, 4);
  if (name == "missing_entry_point") {
    cudaTextureObject_t texture;
    cudaCreateTextureObject(&texture, nullptr, nullptr, nullptr);
  }
  return 0;
}
