#pragma once

#include "kernels/activation/activation.h"

namespace tweedie {

/// `activation_forward` of float32 on the cpu as a part of another operation: operands are not checked, nor is it
/// counted as work of its own.
void activate_on_cpu(const ActivationForward& arguments);

}  // namespace tweedie
