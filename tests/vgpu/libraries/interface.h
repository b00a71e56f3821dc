// What the virtual libcudart gives to the virtual libraries, across the C boundary of the shared objects.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>

extern "C" {

// The host address of `count` pieces of `bytes` each, `pitch` bytes apart, of device memory; null after a report that
// names `call` and `what` when any of it is out of bounds or freed. Reads are checked by initcheck; writes are marked.
void* vgpu_interface_view(const void* device, size_t bytes, size_t pitch, size_t count, int write, const char* call,
                          const char* what);
// Runs `function(data)` in stream order (or when a graph that captures it is launched), then `release(data)` at the
// end.
cudaError_t vgpu_interface_enqueue(cudaStream_t stream, cudaError_t (*function)(void*), void (*release)(void*),
                                   void* data);
// A finding of a library: printed and counted.
void vgpu_interface_report(const char* text);
}
