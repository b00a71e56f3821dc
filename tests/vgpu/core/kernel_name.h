// Kernels by the names that people write. Header only: tests outside the virtual GPU use it too.
#pragma once
#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace tweedie::vgpu {

/// "void tweedie::(anonymous namespace)::rows<4>(float*)" of its mangled form; a C name stays as it is.
inline std::string demangled(const std::string& mangled) {
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, nullptr),
                                                    &std::free);
  return text ? text.get() : mangled;
}

/// "rows" of the mangled form of "void tweedie::(anonymous namespace)::rows<4>(float*)".
inline std::string plain_name(const std::string& mangled) {
  const std::string text = demangled(mangled), unnamed = "(anonymous namespace)";
  std::string name;
  int depth = 0;  // of template arguments
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '<') {
      ++depth;
    } else if (c == '>') {
      --depth;
    } else if (depth > 0) {
      continue;
    } else if (text.compare(at, unnamed.size(), unnamed) == 0) {
      at += unnamed.size() - 1;
    } else if (c == '(') {
      break;
    } else if (c == ':' || c == ' ') {
      name.clear();
    } else {
      name += c;
    }
  }
  return name;
}

/// Whether `wanted` names the kernel: mangled, demangled or plain, which names every instance of a template.
inline bool is_kernel_called(const std::string& mangled, const std::string& wanted) {
  return wanted == mangled || wanted == demangled(mangled) || wanted == plain_name(mangled);
}

}  // namespace tweedie::vgpu
