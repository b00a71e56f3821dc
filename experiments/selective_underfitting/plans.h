#pragma once

#include <vector>

#include "experiments/common/sweep.h"
#include "experiments/selective_underfitting/study.h"

namespace tweedie::experiments {

/// The contrastive study at its full size, meant for a GPU.
StudyPlan default_plan();

/// The plans of a run, each with the seeds of --seeds: those of the quick mode or the one of the command line, and
/// of either every combination of --sweep's values. What the command line gives replaces what the quick mode would have
/// taken, --data but for the mosaics. Sets the options of `line` in turn, which fill `in_force`: record and copy before
/// what was given. Throws UsageError for a sweep of what no plan depends on and for plans that cannot be followed.
std::vector<StudyPlan> plans_of(CommandLine& line, const StudyPlan& in_force, const SweepOptions& sweep, bool quick);

}  // namespace tweedie::experiments
