// Errors: the last one of each thread, and the one that stays.
#include "core/settings.h"
#include "exec/report.h"
#include "runtime/state.h"

using namespace tweedie::vgpu;

namespace {
thread_local cudaError_t last = cudaSuccess;

struct Text {
  cudaError_t error;
  const char* text;
};
constexpr Text kTexts[] = {
    {cudaSuccess, "no error"},
    {cudaErrorInvalidValue, "invalid argument"},
    {cudaErrorMemoryAllocation, "out of memory"},
    {cudaErrorInvalidConfiguration, "invalid configuration argument"},
    {cudaErrorInvalidPitchValue, "invalid pitch argument"},
    {cudaErrorInvalidSymbol, "invalid device symbol"},
    {cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"},
    {cudaErrorMissingConfiguration, "__global__ function call is not configured"},
    {cudaErrorInvalidDeviceFunction, "invalid device function"},
    {cudaErrorNoDevice, "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device"},
    {cudaErrorInvalidResourceHandle, "invalid resource handle"},
    {cudaErrorNotReady, "device not ready"},
    {cudaErrorIllegalAddress, "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "too many resources requested for launch"},
    {cudaErrorAssert, "device-side assert triggered"},
    {cudaErrorMisalignedAddress, "misaligned address"},
    {cudaErrorLaunchFailure, "unspecified launch failure"},
    {cudaErrorCooperativeLaunchTooLarge, "too many blocks in cooperative launch"},
    {cudaErrorNotSupported, "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"},
    {cudaErrorHostMemoryAlreadyRegistered, "part or all of the requested memory range is already mapped"},
    {cudaErrorHostMemoryNotRegistered, "pointer does not correspond to a registered memory region"},
    {cudaErrorGraphExecUpdateFailure,
     "the graph update was not performed because it included changes which violated constraints"},
    {cudaErrorUnknown, "unknown error"}};
}  // namespace

namespace tweedie::vgpu {

cudaError_t set_error(cudaError_t error) {
  if (error == cudaSuccess) return error;
  last = error;
  // Answers to a question are no mistakes.
  if (settings().calls && error != cudaErrorNotReady && error != cudaErrorGraphExecUpdateFailure)
    report(
        fmt::format("api: a call of the runtime failed: {} ({})", cudaGetErrorString(error), cudaGetErrorName(error)));
  return error;
}
cudaError_t sticky_error() {
  return static_cast<cudaError_t>(State::instance().sticky);
}

}  // namespace tweedie::vgpu

#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaGetLastError() {
  if (const cudaError_t sticky = sticky_error()) return sticky;
  const cudaError_t error = last;
  last = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() {
  const cudaError_t sticky = sticky_error();
  return sticky ? sticky : last;
}
const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define VGPU_ERROR(name) \
  case name:             \
    return #name;
#include "runtime/error_names.inc"
#undef VGPU_ERROR
    default:
      return "unrecognized error code";
  }
}
const char* cudaGetErrorString(cudaError_t error) {
  for (const auto& entry : kTexts)
    if (entry.error == error) return entry.text;
  return cudaGetErrorName(error);
}

}  // extern "C"
#pragma GCC visibility pop
