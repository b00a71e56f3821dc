#pragma once

#include "kernels/conv2d/conv2d.h"

// The three directions through oneDNN's direct convolutions, on plain channels-last data. Operands are those of the
// contract, validated and not empty.
namespace tweedie::conv2d_onednn {

void forward(const Conv2dForward& arguments);
void data_gradient(const Conv2dDataGradient& arguments);
void filter_gradient(const Conv2dFilterGradient& arguments);

}  // namespace tweedie::conv2d_onednn
