#pragma once

#include <iterator>
#include <vector>

#include "kernels/activation/activation_cases.h"
#include "kernels/attention/attention_cases.h"
#include "kernels/conv2d/conv2d_cases.h"
#include "kernels/copy_slice/copy_slice_cases.h"
#include "kernels/dropout/dropout_cases.h"
#include "kernels/elementwise/elementwise_cases.h"
#include "kernels/embedding/embedding_cases.h"
#include "kernels/empirical_score/empirical_score_cases.h"
#include "kernels/group_norm/group_norm_cases.h"
#include "kernels/layer_norm/layer_norm_cases.h"
#include "kernels/loss/loss_cases.h"
#include "kernels/matmul/matmul_cases.h"
#include "kernels/noising/noising_cases.h"
#include "kernels/optimizer/optimizer_cases.h"
#include "kernels/reduction/reduction_cases.h"
#include "kernels/resample/resample_cases.h"
#include "kernels/runtime/random_cases.h"
#include "kernels/softmax/softmax_cases.h"

namespace tweedie {

/// The cases of every operation: the one list that tests and kernel_bench draw from. An operation adds its header
/// above and its line below.
inline std::vector<OperationCase> all_cases() {
  std::vector<OperationCase> cases;
  const auto add = [&cases](std::vector<OperationCase> more) {
    cases.insert(cases.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  };
  add(activation_cases());
  add(attention_cases());
  add(conv2d_cases());
  add(copy_slice_cases());
  add(dropout_cases());
  add(elementwise_cases());
  add(embedding_cases());
  add(empirical_score_cases());
  add(group_norm_cases());
  add(layer_norm_cases());
  add(loss_cases());
  add(matmul_cases());
  add(noising_cases());
  add(optimizer_cases());
  add(random_cases());
  add(reduction_cases());
  add(resample_cases());
  add(softmax_cases());
  return cases;
}

}  // namespace tweedie
