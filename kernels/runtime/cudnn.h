#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "kernels/runtime/library.h"
#include "kernels/runtime/stream.h"

// What conv2d calls of cuDNN 9, opened when it is first needed. It is declared here and not taken from NVIDIA's
// headers, so that neither building nor starting needs the library; tests/cuda/library_interface_test.cpp holds every
// value and layout against those headers.
namespace tweedie::cudnn {

using Status = int;  // cudnnStatus_t
inline constexpr Status success = 0;
using Handle = struct Library*;
using TensorDescription = struct Tensor*;
using FilterDescription = struct Filter*;
using Description = struct Convolution*;

inline constexpr int data_float = 0, data_bfloat16 = 9;  // cudnnDataType_t
inline constexpr int tensor_nhwc = 1;                    // cudnnTensorFormat_t
inline constexpr int cross_correlation = 1;              // cudnnConvolutionMode_t
inline constexpr int default_math = 0, fma_math = 3;     // cudnnMathType_t; TF32 is part of the default
inline constexpr int deterministic = 1;                  // cudnnDeterminism_t
struct Performance {                                     // cudnnConvolutionFwdAlgoPerf_t and its two siblings
  int algorithm;
  Status status;
  float time;
  std::size_t memory;
  int determinism;
  int math;
  int reserved[3];
};

/// The entry points, cudnn..., and a handle for one device, on its stream.
struct Context {
  const char* (*error_string)(Status);
  std::size_t (*version)();
  Status (*create_tensor)(TensorDescription*);
  Status (*set_tensor)(TensorDescription, int format, int type, int n, int c, int h, int w);
  Status (*create_filter)(FilterDescription*);
  Status (*set_filter)(FilterDescription, int type, int format, int k, int c, int h, int w);
  Status (*create_convolution)(Description*);
  Status (*set_convolution)(Description, int pad_h, int pad_w, int stride_h, int stride_w, int dilation_h,
                            int dilation_w, int mode, int compute_type);
  Status (*set_math)(Description, int math);
  Status (*find_forward)(Handle, TensorDescription x, FilterDescription w, Description, TensorDescription y, int wanted,
                         int* found, Performance*);
  Status (*find_data_gradient)(Handle, FilterDescription w, TensorDescription dy, Description, TensorDescription dx,
                               int wanted, int* found, Performance*);
  Status (*find_filter_gradient)(Handle, TensorDescription x, TensorDescription dy, Description, FilterDescription dw,
                                 int wanted, int* found, Performance*);
  Status (*forward)(Handle, const void* alpha, TensorDescription, const void* x, FilterDescription, const void* w,
                    Description, int algorithm, void* workspace, std::size_t bytes, const void* beta, TensorDescription,
                    void* y);
  Status (*data_gradient)(Handle, const void* alpha, FilterDescription, const void* w, TensorDescription,
                          const void* dy, Description, int algorithm, void* workspace, std::size_t bytes,
                          const void* beta, TensorDescription, void* dx);
  Status (*filter_gradient)(Handle, const void* alpha, TensorDescription, const void* x, TensorDescription,
                            const void* dy, Description, int algorithm, void* workspace, std::size_t bytes,
                            const void* beta, FilterDescription, void* dw);
  Handle handle;
};

/// The context of the stream's device. Throws Error where why_unavailable(CudaLibrary::cudnn, device) has a reason.
const Context& context(Stream& stream);

/// Throws Error naming the call, the operands, the status and the place unless `status` is success.
void check(const Context& context, Status status, std::string_view call, std::string_view operands,
           const char* file = __builtin_FILE(), int line = __builtin_LINE());

}  // namespace tweedie::cudnn
