#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/runtime/library.h"
#include "kernels/runtime/stream.h"

struct CUstream_st;  // behind cudaStream_t

// What matmul calls of cuBLASLt, opened when it is first needed. It is declared here and not taken from NVIDIA's
// headers, so that neither building nor starting needs the library; tests/cuda/library_interface_test.cpp holds every
// value and layout against those headers.
namespace tweedie::cublas {

using Status = int;  // cublasStatus_t
inline constexpr Status success = 0;
using Handle = struct LtHandle*;
using Description = struct LtMatmulDescription*;
using Layout = struct LtMatrixLayout*;
using Preference = struct LtMatmulPreference*;

inline constexpr int compute_32f = 68, compute_32f_fast_tf32 = 77;  // cublasComputeType_t
inline constexpr int real_32f = 0, real_16bf = 14;                  // cudaDataType_t
inline constexpr int operation_n = 0, operation_t = 1;              // cublasOperation_t
inline constexpr int epilogue_default = 1, epilogue_bias = 4;       // cublasLtEpilogue_t
inline constexpr std::uint32_t reduction_in_compute_type = 2;       // cublasLtReductionScheme_t
enum DescriptionAttribute { transpose_a = 3, transpose_b = 4, epilogue = 7, bias_pointer = 8 };
enum LayoutAttribute { batch_count = 5, batch_stride = 6 };
enum PreferenceAttribute {
  max_workspace_bytes = 1,
  reduction_scheme_mask = 3,
  min_alignment_a = 5,
  min_alignment_b = 6,
  min_alignment_c = 7,
  min_alignment_d = 8
};
struct Algorithm {  // cublasLtMatmulAlgo_t
  std::uint64_t data[8];
};
struct Heuristic {  // cublasLtMatmulHeuristicResult_t
  Algorithm algorithm;
  std::size_t workspace_bytes;
  Status status;
  float waves;
  int reserved[4];
};

/// The entry points, cublasLt... but for `status_name`, and a handle for one device.
struct Context {
  const char* (*status_name)(Status);  // cublasGetStatusName
  std::size_t (*version)();
  Status (*create_description)(Description*, int compute, int scale_type);
  Status (*set_description)(Description, int attribute, const void*, std::size_t bytes);
  Status (*create_layout)(Layout*, int type, std::uint64_t rows, std::uint64_t columns, std::int64_t leading);
  Status (*set_layout)(Layout, int attribute, const void*, std::size_t bytes);
  Status (*create_preference)(Preference*);
  Status (*set_preference)(Preference, int attribute, const void*, std::size_t bytes);
  Status (*destroy_preference)(Preference);
  Status (*find_algorithm)(Handle, Description, Layout a, Layout b, Layout c, Layout d, Preference, int wanted,
                           Heuristic*, int* found);
  Status (*multiply)(Handle, Description, const void* alpha, const void* a, Layout, const void* b, Layout,
                     const void* beta, const void* c, Layout, void* d, Layout, const Algorithm*, void* workspace,
                     std::size_t bytes, CUstream_st*);
  Handle handle;
};

/// The context of the stream's device. Throws Error where why_unavailable(CudaLibrary::cublas, device) has a reason.
const Context& context(Stream& stream);

/// Throws Error naming the call, the operands, the status and the place unless `status` is success.
void check(const Context& context, Status status, std::string_view call, std::string_view operands,
           const char* file = __builtin_FILE(), int line = __builtin_LINE());

}  // namespace tweedie::cublas
