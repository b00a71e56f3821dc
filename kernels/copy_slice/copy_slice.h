#pragma once

#include "kernels/runtime/operation.h"

namespace tweedie {

/// Copies a block along one axis: to[o, to_start + j, i] (write) from[o, from_start + j, i] for 0 <= j < length.
/// from (outer, from_extent, inner), to (outer, to_extent, inner). Concatenation, slicing, padding and their
/// derivatives are made of it. Elements of `to` outside the block are left as they are.
/// Any dtype, the same for both; accumulating takes float32 and bfloat16.
/// bytes: twice outer x length x inner elements, three times when accumulating.
struct CopySlice {
  Array from, to;
  std::int64_t from_start = 0, to_start = 0, length = 0;
  Write write = Write::overwrite;
};
void validate(const CopySlice& arguments);
double flops(const CopySlice& arguments);
double bytes_moved(const CopySlice& arguments);
extern Operation<CopySlice> copy_slice;

/// y = x with its axes reordered: y.shape[i] = x.shape[axes[i]]; any rank up to six, any dtype. bytes: x + y.
struct Permute {
  Array x, y;
  int axes[Shape::max_rank] = {0, 1, 2, 3, 4, 5};
};
void validate(const Permute& arguments);
double flops(const Permute& arguments);
double bytes_moved(const Permute& arguments);
extern Operation<Permute> permute_axes;

}  // namespace tweedie
