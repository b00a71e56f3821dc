#pragma once

#include "kernels/activation/activation.h"

namespace tweedie {

/// `activation_forward` on cuda as a part of another operation: operands are not checked, nor is it counted as work of
/// its own.
void activate_on_cuda(Stream& stream, const ActivationForward& arguments);

}  // namespace tweedie
