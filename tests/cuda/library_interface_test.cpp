#include <gtest/gtest.h>

#include <cstddef>
#include <type_traits>

#include "kernels/runtime/cublas.h"
#include "kernels/runtime/cudnn.h"

#if __has_include(<cublasLt.h>) && __has_include(<cublas_v2.h>)
#define TWEEDIE_HAS_CUBLAS_HEADERS
#include <cublasLt.h>
#include <cublas_v2.h>
#endif
#if __has_include(<cudnn.h>)
#define TWEEDIE_HAS_CUDNN_HEADERS
#include <cudnn.h>
#endif

// The parts of cuBLASLt's and cuDNN's interfaces that kernels/runtime declares, against the libraries' own headers.
namespace tweedie {
namespace {

/// Types that pass through a call in the same way.
template <class Ours, class Theirs>
constexpr bool alike =
    sizeof(Ours) == sizeof(Theirs) && std::is_floating_point_v<Ours> == std::is_floating_point_v<Theirs>;

/// Whether two functions take as many arguments, each in the same way.
template <class Ours, class Theirs>
struct SameCall : std::false_type {};
template <class R1, class... Ours, class R2, class... Theirs>
requires(sizeof...(Ours) == sizeof...(Theirs)) struct SameCall<R1 (*)(Ours...), R2 (*)(Theirs...)>
    : std::bool_constant<alike<R1, R2> && (alike<Ours, Theirs> && ...) &&
                         ((std::is_pointer_v<Ours> == std::is_pointer_v<Theirs>)&&...)> {
};
template <class Ours, class Theirs>
constexpr bool same_call = SameCall<Ours, Theirs>::value;

TEST(LibraryInterface, IsThatOfCublas) {
#ifdef TWEEDIE_HAS_CUBLAS_HEADERS
  using Context = cublas::Context;
  EXPECT_EQ(static_cast<int>(cublas::compute_32f), static_cast<int>(CUBLAS_COMPUTE_32F));
  EXPECT_EQ(static_cast<int>(cublas::compute_32f_fast_tf32), static_cast<int>(CUBLAS_COMPUTE_32F_FAST_TF32));
  EXPECT_EQ(static_cast<int>(cublas::real_32f), static_cast<int>(CUDA_R_32F));
  EXPECT_EQ(static_cast<int>(cublas::real_16bf), static_cast<int>(CUDA_R_16BF));
  EXPECT_EQ(static_cast<int>(cublas::operation_n), static_cast<int>(CUBLAS_OP_N));
  EXPECT_EQ(static_cast<int>(cublas::operation_t), static_cast<int>(CUBLAS_OP_T));
  EXPECT_EQ(static_cast<int>(cublas::epilogue_default), static_cast<int>(CUBLASLT_EPILOGUE_DEFAULT));
  EXPECT_EQ(static_cast<int>(cublas::epilogue_bias), static_cast<int>(CUBLASLT_EPILOGUE_BIAS));
  EXPECT_EQ(static_cast<int>(cublas::reduction_in_compute_type),
            static_cast<int>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  EXPECT_EQ(static_cast<int>(cublas::transpose_a), static_cast<int>(CUBLASLT_MATMUL_DESC_TRANSA));
  EXPECT_EQ(static_cast<int>(cublas::transpose_b), static_cast<int>(CUBLASLT_MATMUL_DESC_TRANSB));
  EXPECT_EQ(static_cast<int>(cublas::epilogue), static_cast<int>(CUBLASLT_MATMUL_DESC_EPILOGUE));
  EXPECT_EQ(static_cast<int>(cublas::bias_pointer), static_cast<int>(CUBLASLT_MATMUL_DESC_BIAS_POINTER));
  EXPECT_EQ(static_cast<int>(cublas::batch_count), static_cast<int>(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT));
  EXPECT_EQ(static_cast<int>(cublas::batch_stride), static_cast<int>(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET));
  EXPECT_EQ(static_cast<int>(cublas::max_workspace_bytes), static_cast<int>(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES));
  EXPECT_EQ(static_cast<int>(cublas::reduction_scheme_mask),
            static_cast<int>(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK));
  EXPECT_EQ(static_cast<int>(cublas::min_alignment_a), static_cast<int>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES));
  EXPECT_EQ(static_cast<int>(cublas::min_alignment_b), static_cast<int>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES));
  EXPECT_EQ(static_cast<int>(cublas::min_alignment_c), static_cast<int>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES));
  EXPECT_EQ(static_cast<int>(cublas::min_alignment_d), static_cast<int>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES));
  EXPECT_EQ(sizeof(cublas::Algorithm), sizeof(cublasLtMatmulAlgo_t));
  EXPECT_EQ(sizeof(cublas::Heuristic), sizeof(cublasLtMatmulHeuristicResult_t));
  EXPECT_EQ(offsetof(cublas::Heuristic, workspace_bytes), offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
  EXPECT_EQ(offsetof(cublas::Heuristic, status), offsetof(cublasLtMatmulHeuristicResult_t, state));
  EXPECT_TRUE((same_call<decltype(Context::create_description), decltype(&cublasLtMatmulDescCreate)>));
  EXPECT_TRUE((same_call<decltype(Context::set_description), decltype(&cublasLtMatmulDescSetAttribute)>));
  EXPECT_TRUE((same_call<decltype(Context::create_layout), decltype(&cublasLtMatrixLayoutCreate)>));
  EXPECT_TRUE((same_call<decltype(Context::set_layout), decltype(&cublasLtMatrixLayoutSetAttribute)>));
  EXPECT_TRUE((same_call<decltype(Context::create_preference), decltype(&cublasLtMatmulPreferenceCreate)>));
  EXPECT_TRUE((same_call<decltype(Context::set_preference), decltype(&cublasLtMatmulPreferenceSetAttribute)>));
  EXPECT_TRUE((same_call<decltype(Context::destroy_preference), decltype(&cublasLtMatmulPreferenceDestroy)>));
  EXPECT_TRUE((same_call<decltype(Context::find_algorithm), decltype(&cublasLtMatmulAlgoGetHeuristic)>));
  EXPECT_TRUE((same_call<decltype(Context::multiply), decltype(&cublasLtMatmul)>));
  EXPECT_FALSE((same_call<decltype(Context::multiply), decltype(&cublasLtMatmulDescCreate)>));
#else
  GTEST_SKIP() << "cublasLt.h was not found when this was built";
#endif
}

TEST(LibraryInterface, IsThatOfCudnn) {
#ifdef TWEEDIE_HAS_CUDNN_HEADERS
  using Context = cudnn::Context;
  EXPECT_EQ(static_cast<int>(cudnn::data_float), static_cast<int>(CUDNN_DATA_FLOAT));
  EXPECT_EQ(static_cast<int>(cudnn::data_bfloat16), static_cast<int>(CUDNN_DATA_BFLOAT16));
  EXPECT_EQ(static_cast<int>(cudnn::tensor_nhwc), static_cast<int>(CUDNN_TENSOR_NHWC));
  EXPECT_EQ(static_cast<int>(cudnn::cross_correlation), static_cast<int>(CUDNN_CROSS_CORRELATION));
  EXPECT_EQ(static_cast<int>(cudnn::default_math), static_cast<int>(CUDNN_DEFAULT_MATH));
  EXPECT_EQ(static_cast<int>(cudnn::fma_math), static_cast<int>(CUDNN_FMA_MATH));
  EXPECT_EQ(static_cast<int>(cudnn::deterministic), static_cast<int>(CUDNN_DETERMINISTIC));
  using Theirs = cudnnConvolutionFwdAlgoPerfStruct;
  EXPECT_EQ(sizeof(cudnn::Performance), sizeof(Theirs));
  EXPECT_EQ(sizeof(cudnn::Performance), sizeof(cudnnConvolutionBwdDataAlgoPerfStruct));
  EXPECT_EQ(sizeof(cudnn::Performance), sizeof(cudnnConvolutionBwdFilterAlgoPerfStruct));
  EXPECT_EQ(offsetof(cudnn::Performance, status), offsetof(Theirs, status));
  EXPECT_EQ(offsetof(cudnn::Performance, memory), offsetof(Theirs, memory));
  EXPECT_EQ(offsetof(cudnn::Performance, determinism), offsetof(Theirs, determinism));
  EXPECT_EQ(offsetof(cudnn::Performance, math), offsetof(Theirs, mathType));
  EXPECT_TRUE((same_call<decltype(Context::set_tensor), decltype(&cudnnSetTensor4dDescriptor)>));
  EXPECT_TRUE((same_call<decltype(Context::set_filter), decltype(&cudnnSetFilter4dDescriptor)>));
  EXPECT_TRUE((same_call<decltype(Context::set_convolution), decltype(&cudnnSetConvolution2dDescriptor)>));
  EXPECT_TRUE((same_call<decltype(Context::set_math), decltype(&cudnnSetConvolutionMathType)>));
  EXPECT_TRUE((same_call<decltype(Context::find_forward), decltype(&cudnnGetConvolutionForwardAlgorithm_v7)>));
  EXPECT_TRUE(
      (same_call<decltype(Context::find_data_gradient), decltype(&cudnnGetConvolutionBackwardDataAlgorithm_v7)>));
  EXPECT_TRUE(
      (same_call<decltype(Context::find_filter_gradient), decltype(&cudnnGetConvolutionBackwardFilterAlgorithm_v7)>));
  EXPECT_TRUE((same_call<decltype(Context::forward), decltype(&cudnnConvolutionForward)>));
  EXPECT_TRUE((same_call<decltype(Context::data_gradient), decltype(&cudnnConvolutionBackwardData)>));
  EXPECT_TRUE((same_call<decltype(Context::filter_gradient), decltype(&cudnnConvolutionBackwardFilter)>));
  EXPECT_FALSE((same_call<decltype(Context::forward), decltype(&cudnnSetConvolutionMathType)>));
#else
  GTEST_SKIP() << "cudnn.h was not found when this was built";
#endif
}

}  // namespace
}  // namespace tweedie
