#pragma once

#include "kernels/activation/activation.h"

namespace tweedie::reference {

/// f(x) in double.
double activated(ActivationKind kind, double x);

}  // namespace tweedie::reference
