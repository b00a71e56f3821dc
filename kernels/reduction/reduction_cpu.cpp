#include "kernels/reduction/reduction_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduction/reduction_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <vector>

#include "kernels/runtime/parallel.h"
#include "kernels/runtime/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

double sum_run(const float* x, std::int64_t count) {
  return blocked_sum(count, [&](auto d, std::int64_t i) HWY_ATTR { return hn::LoadU(d, x + i); });
}

/// totals[c] += the sum over `rows` rows of column c: float32 over blocks of 64 rows, four at a time, the blocks' sums
/// in double. `lane` has room for `columns` floats.
void sum_columns(const float* x, std::int64_t rows, std::int64_t columns, float* lane, double* totals) {
  constexpr std::int64_t block = 64;
  for (std::int64_t first = 0; first < rows; first += block) {
    const std::int64_t last = std::min(rows, first + block);
    std::fill(lane, lane + columns, 0.0f);
    std::int64_t row = first;
    for (; row + 4 <= last; row += 4) {
      const float* x0 = x + row * columns;
      const float* x1 = x0 + columns;
      const float* x2 = x1 + columns;
      const float* x3 = x2 + columns;
      map_vectors(columns, lane, [&](auto d, std::int64_t c) HWY_ATTR {
        const auto sum = hn::Add(hn::Add(hn::LoadU(d, x0 + c), hn::LoadU(d, x1 + c)),
                                 hn::Add(hn::LoadU(d, x2 + c), hn::LoadU(d, x3 + c)));
        return hn::Add(hn::LoadU(d, lane + c), sum);
      });
    }
    for (; row < last; ++row)
      map_vectors(columns, lane, [&](auto d, std::int64_t c) HWY_ATTR {
        return hn::Add(hn::LoadU(d, lane + c), hn::LoadU(d, x + row * columns + c));
      });
    for (std::int64_t c = 0; c < columns; ++c) totals[c] += lane[c];
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {

constinit Operation<Reduce> reduce{"reduce"};

namespace {

HWY_EXPORT(sum_run);
HWY_EXPORT(sum_columns);
constexpr std::int64_t grain = 16384;  // elements worth waking a thread for

const bool registered =
    reduce.implement(DeviceKind::cpu, [](Stream&, const Reduce& arguments) { reduce_on_cpu(arguments); });

}  // namespace

/// A job sums `rows` rows of one outer index. How x is cut into jobs depends on its shape alone, and the jobs' sums are
/// added in order: the result does not depend on the thread count.
void reduce_on_cpu(const Reduce& arguments) {
  const Shape& shape = arguments.x.shape;
  const std::int64_t outer = shape[0], reduced = shape[1], inner = shape[2];
  if (outer * inner == 0) return;
  const float* x = arguments.x.as<float>();
  float* y = arguments.y.as<float>();
  constexpr std::int64_t elements_of_job = 65536, most_jobs = 64;
  const std::int64_t jobs_per_outer =
      std::clamp<std::int64_t>(outer >= most_jobs ? 1 : reduced * inner / elements_of_job, 1,
                               std::min(most_jobs, std::max<std::int64_t>(reduced, 1)));
  const std::int64_t jobs = outer * jobs_per_outer;
  std::vector<double> partial(static_cast<std::size_t>(jobs * inner), 0.0);
  const std::int64_t jobs_of_grain = std::max<std::int64_t>(1, grain * jobs / std::max<std::int64_t>(1, shape.count()));
  parallel_for(jobs, jobs_of_grain, [&](std::int64_t first, std::int64_t last) {
    std::vector<float> lane(static_cast<std::size_t>(inner));
    for (std::int64_t job = first; job < last; ++job) {
      const std::int64_t o = job / jobs_per_outer, piece = job % jobs_per_outer;
      const std::int64_t begin = reduced * piece / jobs_per_outer, end = reduced * (piece + 1) / jobs_per_outer;
      const float* rows = x + (o * reduced + begin) * inner;
      if (inner == 1)
        partial[job] = HWY_DYNAMIC_DISPATCH(sum_run)(rows, end - begin);
      else
        HWY_DYNAMIC_DISPATCH(sum_columns)(rows, end - begin, inner, lane.data(), partial.data() + job * inner);
    }
  });
  const double scale = arguments.kind == ReduceKind::mean ? 1.0 / static_cast<double>(reduced) : 1.0;
  const bool accumulate = arguments.write == Write::accumulate;
  parallel_for(outer, std::max<std::int64_t>(1, grain / (inner * jobs_per_outer)),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t o = first; o < last; ++o)
                   for (std::int64_t i = 0; i < inner; ++i) {
                     double sum = 0.0;
                     for (std::int64_t job = o * jobs_per_outer; job < (o + 1) * jobs_per_outer; ++job)
                       sum += partial[job * inner + i];
                     float& out = y[o * inner + i];
                     out = static_cast<float>((accumulate ? static_cast<double>(out) : 0.0) + scale * sum);
                   }
               });
}

}  // namespace tweedie
#endif  // HWY_ONCE
