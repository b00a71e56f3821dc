#include "kernels/runtime/library.h"

#include <dlfcn.h>

#include "kernels/runtime/error.h"

namespace tweedie {
namespace {

LibraryProbe& probe_of(CudaLibrary library) {
  static LibraryProbe probes[2] = {};
  return probes[static_cast<int>(library)];
}

}  // namespace

SharedLibrary::SharedLibrary(const char* name) : name_(name), handle_(dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ != nullptr) return;
  const char* reason = dlerror();
  problem_ = fmt::format("{} was not found ({})", name, reason == nullptr ? "no reason given" : reason);
}

void* SharedLibrary::address_of(const char* symbol) {
  if (handle_ == nullptr) return nullptr;
  void* address = dlsym(handle_, symbol);
  if (address == nullptr && problem_.empty()) problem_ = fmt::format("{} has no {}", name_, symbol);
  return address;
}

std::string_view name_of(CudaLibrary library) {
  return library == CudaLibrary::cublas ? "cuBLAS" : "cuDNN";
}

std::string why_unavailable(CudaLibrary library, Device device) {
  if (device.kind != DeviceKind::cuda)
    return fmt::format("{} runs on cuda, not on {}", name_of(library), name_of(device.kind));
  const LibraryProbe probe = probe_of(library);
  return probe == nullptr ? "this build has no cuda backend" : probe(device);
}

std::int64_t& calls_of(CudaLibrary library) {
  static std::int64_t calls[2] = {};
  return calls[static_cast<int>(library)];
}

bool register_library(CudaLibrary library, LibraryProbe probe) {
  probe_of(library) = probe;
  return true;
}

}  // namespace tweedie
