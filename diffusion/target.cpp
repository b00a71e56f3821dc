#include "diffusion/target.h"

namespace tweedie {

Tensor ConditionalTarget::target(const Draw& draw, const Process&, const Parameterisation&) const {
  return draw.conditional_target;
}

}  // namespace tweedie
