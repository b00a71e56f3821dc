#include "kernels/runtime/cuda_choices.h"

namespace tweedie {

CudaChoices& cuda_choices() {
  static CudaChoices choices;
  return choices;
}

}  // namespace tweedie
