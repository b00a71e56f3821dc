#include "exec/handlers.h"

namespace tweedie::vgpu {

#define VGPU_DECLARE(isa)                                           \
  namespace isa {                                                   \
  void add_integer(HandlerTable&);                                  \
  void add_bits(HandlerTable&);                                     \
  void add_float(HandlerTable&);                                    \
  void add_half(HandlerTable&);                                     \
  void add_convert(HandlerTable&);                                  \
  void add_predicate(HandlerTable&);                                \
  void add_memory(HandlerTable&);                                   \
  void add_matrix(HandlerTable&);                                   \
  inline void add_all(HandlerTable& t) {                            \
    add_integer(t), add_bits(t), add_float(t), add_half(t);         \
    add_convert(t), add_predicate(t), add_memory(t), add_matrix(t); \
  }                                                                 \
  }
VGPU_DECLARE(isa_avx512)
VGPU_DECLARE(isa_avx2)
#undef VGPU_DECLARE

const HandlerTable& handlers() {
  static const HandlerTable table = [] {
    HandlerTable made;
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    const char* forced = std::getenv("VGPU_ISA");
    if (wide && !(forced && std::string(forced) == "avx2")) {
      isa_avx512::add_all(made);
    } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) {
      isa_avx2::add_all(made);
    } else {
      std::fprintf(stderr, "vgpu: this processor lacks AVX2, FMA or F16C, which the virtual GPU needs\n");
      std::exit(2);
    }
    add_control(made);
    add_warp(made);
    add_atomic(made);
    add_async(made);
    add_system(made);
    add_fragment(made);
    add_video(made);
    add_narrow(made);
    return made;
  }();
  return table;
}

Handler find_handler(const std::string& key) {
  const auto found = handlers().find(key);
  return found == handlers().end() ? nullptr : found->second;
}

}  // namespace tweedie::vgpu
