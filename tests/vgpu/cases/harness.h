// A case program's frame: `PROGRAM` runs every case, `PROGRAM NAME` one, `PROGRAM --list` names them. They are plain
// CUDA programs and run on a real device as well.
#pragma once
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

struct Case {
  const char* name;
  void (*run)();
};
inline std::vector<Case>& cases() {
  static std::vector<Case> list;
  return list;
}
inline int failures = 0;
struct Registration {
  Registration(const char* name, void (*run)()) { cases().push_back({name, run}); }
};
#define CASE(name)                                             \
  static void case_##name();                                   \
  static Registration registration_##name(#name, case_##name); \
  static void case_##name()

#define CHECK(condition)                                                                             \
  do {                                                                                               \
    if (!(condition) && ++failures < 20) std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
  } while (0)
#define CUDA(call)                                                                           \
  do {                                                                                       \
    const cudaError_t status = (call);                                                       \
    if (status != cudaSuccess && ++failures < 20)                                            \
      std::printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(status)); \
  } while (0)

inline bool close(double a, double b, double tolerance) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b || std::fabs(a - b) <= tolerance * (1 + std::fabs(b));
}

template <class T>
struct Device {  // a device array
  T* pointer = nullptr;
  size_t count;
  explicit Device(size_t n) : count(n) { CUDA(cudaMalloc(&pointer, n * sizeof(T))); }
  explicit Device(const std::vector<T>& from) : Device(from.size()) { put(from); }
  Device(const Device&) = delete;
  ~Device() { cudaFree(pointer); }
  void put(const std::vector<T>& from) {
    CUDA(cudaMemcpy(pointer, from.data(), count * sizeof(T), cudaMemcpyHostToDevice));
  }
  std::vector<T> get() const {
    std::vector<T> to(count);
    CUDA(cudaMemcpy(to.data(), pointer, count * sizeof(T), cudaMemcpyDeviceToHost));
    return to;
  }
  operator T*() const { return pointer; }
};

// Deterministic test numbers.
struct Numbers {
  uint64_t state;
  explicit Numbers(uint64_t seed) : state(seed * 2654435761u + 12345) {}
  uint32_t bits() {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<uint32_t>(state >> 33) ^ static_cast<uint32_t>(state >> 11);
  }
  uint64_t wide() { return static_cast<uint64_t>(bits()) << 32 | bits(); }
  float uniform() { return static_cast<float>(bits() >> 8) * 0x1p-24f; }
  float signed_unit() { return 2 * uniform() - 1; }
};

// Wrong on purpose: run by name only. Programs without such cases leave it undefined.
__attribute__((weak)) int planted(const std::string& name);

int main(int count, char** arguments) {
  const std::string wanted = count > 1 ? arguments[1] : "";
  if (wanted == "--list") {
    for (const auto& entry : cases()) std::puts(entry.name);
    return 0;
  }
  bool found = false;
  for (const auto& entry : cases()) {
    if (!wanted.empty() && wanted != entry.name) continue;
    found = true;
    const int before = failures;
    entry.run();
    CUDA(cudaDeviceSynchronize());
    CUDA(cudaGetLastError());
    std::printf("%s %s\n", failures == before ? "ok" : "FAILED", entry.name);
  }
  if (!found && planted) return planted(wanted);
  if (!found) std::printf("no case %s\n", wanted.c_str());
  return found && failures == 0 ? 0 : 1;
}
