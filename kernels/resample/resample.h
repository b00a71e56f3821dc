#pragma once

#include "kernels/runtime/operation.h"

namespace tweedie {

// Resampling by a whole factor, channels last: x (N, H, W, C). Both operands float32, or both bfloat16.

/// y (N, factor H, factor W, C): every value repeated factor x factor times. bytes: x + y.
struct UpsampleNearestForward {
  Array x, y;
  int factor = 2;
};
void validate(const UpsampleNearestForward& arguments);
double flops(const UpsampleNearestForward& arguments);
double bytes_moved(const UpsampleNearestForward& arguments);
extern Operation<UpsampleNearestForward> upsample_nearest_forward;

/// grad_x (N, H, W, C) (write) the sums of grad_y's factor x factor blocks.
struct UpsampleNearestBackward {
  Array grad_y, grad_x;
  int factor = 2;
  Write write = Write::overwrite;
};
void validate(const UpsampleNearestBackward& arguments);
double flops(const UpsampleNearestBackward& arguments);
double bytes_moved(const UpsampleNearestBackward& arguments);
extern Operation<UpsampleNearestBackward> upsample_nearest_backward;

/// y (N, H / factor, W / factor, C): means of disjoint factor x factor blocks; rows and columns that fill no whole
/// block are left out, as in PyTorch's avg_pool2d. bytes: x + y.
struct AveragePoolForward {
  Array x, y;
  int factor = 2;
};
void validate(const AveragePoolForward& arguments);
double flops(const AveragePoolForward& arguments);
double bytes_moved(const AveragePoolForward& arguments);
extern Operation<AveragePoolForward> average_pool_forward;

/// grad_x (N, H, W, C) (write): each value of grad_y shared out over its block; 0 where no block reached.
struct AveragePoolBackward {
  Array grad_y, grad_x;
  int factor = 2;
  Write write = Write::overwrite;
};
void validate(const AveragePoolBackward& arguments);
double flops(const AveragePoolBackward& arguments);
double bytes_moved(const AveragePoolBackward& arguments);
extern Operation<AveragePoolBackward> average_pool_backward;

}  // namespace tweedie
