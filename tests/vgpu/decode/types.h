// What decoding asks of a PTX type's name.
#pragma once
#include <string>

#include "ptx/module.h"

namespace tweedie::vgpu {

inline int bits_of_type(const std::string& type) {
  return 8 * ptx::type_bytes(type);
}
inline bool is_float(const std::string& type) {
  return type.find('f') != std::string::npos && type != "tf32";
}
inline bool is_half(const std::string& type) {
  return type.find("f16") != std::string::npos;
}
// Hardware reads what the type's bits say: half pairs and 16-bit ones live in registers of their size.
inline int width_of_type(const std::string& type) {
  const int bits = bits_of_type(type);
  if (bits == 0) throw Unsupported("type " + type);
  return bits == 8 ? 16 : bits;
}

}  // namespace tweedie::vgpu
