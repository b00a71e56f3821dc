#include "kernels/runtime/implementation.h"

#include "kernels/runtime/error.h"

namespace tweedie {

CudaChoices& cuda_choices() {
  static CudaChoices choices;
  return choices;
}

std::string_view name_of(Implementation implementation) {
  switch (implementation) {
    case Implementation::native:
      return "native";
    case Implementation::library:
      return "library";
    case Implementation::automatic:
      return "automatic";
  }
  fail("unknown implementation {}", static_cast<int>(implementation));
}

}  // namespace tweedie
