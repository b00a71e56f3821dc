#pragma once

#include <cstdint>
#include <functional>

#include "kernels/runtime/device.h"

namespace tweedie::experiments {

// Independent pieces of work (the networks of a study) beside each other. A small network gains little from a second
// thread, two of them gain a second core.

/// How many of `count` jobs run_jobs runs at once: on the cpu as many as there are threads, on cuda one.
std::int64_t jobs_at_once(std::int64_t count, Device device);

/// While it lives, this thread computes on the threads that each of `count` jobs has.
class JobThreads {
 public:
  JobThreads(std::int64_t count, Device device);
  ~JobThreads();
  JobThreads(const JobThreads&) = delete;
  JobThreads& operator=(const JobThreads&) = delete;

 private:
  int before_;
};

/// Calls job(i) once for each i in [0, count), in any order, jobs_at_once(count, device) of them at a time, each in a
/// process forked for it: it sees what was there before, and must leave its result on disk. `done(i)` follows in this
/// process. A job's bits depend on the threads that it has, not on what runs beside it. One at a time runs in this
/// process. The first failure of a job ends the others and is thrown again here, as UsageError or Error; a signal that
/// asks to stop (signals.h) is passed on, and Interrupted thrown once all have saved what they do.
void run_jobs(std::int64_t count, Device device, const std::function<void(std::int64_t)>& job,
              const std::function<void(std::int64_t)>& done);

}  // namespace tweedie::experiments
