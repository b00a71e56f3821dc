#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>

#include <omp.h>

namespace tweedie {

/// Calls body(first, last) for contiguous pieces of [0, count) on the OpenMP threads; no piece is smaller than `grain`
/// unless it is the only one. The split depends on count, grain and the thread count alone (determinism). An exception
/// of a body is rethrown here.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, Body&& body) {
  if (count <= 0) return;
  const std::int64_t pieces =
      std::min<std::int64_t>(omp_get_max_threads(), (count + grain - 1) / std::max<std::int64_t>(grain, 1));
  if (pieces <= 1 || omp_in_parallel()) {
    body(std::int64_t{0}, count);
    return;
  }
  std::exception_ptr failure;
#pragma omp parallel num_threads(static_cast <int>(pieces))
  {
    const std::int64_t piece = omp_get_thread_num();
    const std::int64_t threads = omp_get_num_threads();
    const std::int64_t first = count * piece / threads;
    const std::int64_t last = count * (piece + 1) / threads;
    try {
      if (first < last) body(first, last);
    } catch (...) {
#pragma omp critical(tweedie_parallel_for)
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace tweedie
