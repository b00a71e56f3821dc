#pragma once

#include "kernels/reduction/reduction.h"

namespace tweedie {

/// `reduce` on cuda as a part of another operation: operands are not checked, nor is it counted as work of its own.
void reduce_on_cuda(Stream& stream, const Reduce& arguments);

}  // namespace tweedie
