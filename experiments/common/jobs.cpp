#include "experiments/common/jobs.h"

#include <omp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "experiments/common/log.h"
#include "experiments/common/progress.h"
#include "experiments/common/signals.h"
#include "kernels/runtime/error.h"

namespace tweedie::experiments {
namespace {

/// How a job's process ends; above these, 128 + the signal that stopped it.
enum Ending : int { finished = 0, failed = 1, misused = 2 };

struct Worker {
  pid_t process = 0;
  int message = -1;  // the end of a pipe from which a failure's text is read
  std::int64_t job = 0;
};

void write_text(int file, const std::string& text) {
  for (std::size_t sent = 0; sent < text.size();) {
    const ssize_t wrote = ::write(file, text.data() + sent, text.size() - sent);
    if (wrote <= 0 && errno != EINTR) return;  // nobody reads it
    if (wrote > 0) sent += static_cast<std::size_t>(wrote);
  }
}

int run_here(const std::function<void(std::int64_t)>& job, std::int64_t index, int threads, int message) {
  int ending = failed;
  // A thread of its own: OpenMP's pool of the forked one is gone, but it does not know.
  std::thread([&] {
    omp_set_num_threads(threads);
    try {
      job(index);
      ending = finished;
    } catch (const Interrupted& interrupted) {
      ending = 128 + interrupted.signal();
    } catch (const UsageError& error) {
      write_text(message, error.what());
      ending = misused;
    } catch (const std::bad_alloc&) {
      write_text(message, "out of memory");
    } catch (const std::exception& error) {
      write_text(message, error.what());
    } catch (...) {
      write_text(message, "failed for an unknown reason");
    }
  }).join();
  return ending;
}

Worker begin(const std::function<void(std::int64_t)>& job, std::int64_t index, int threads) {
  int ends[2];
  require(::pipe(ends) == 0, "a pipe to a worker cannot be made: {}", std::strerror(errno));
  Progress::clear_line();
  std::fflush(nullptr);  // or both processes would write what is buffered
  const pid_t parent = ::getpid(), process = ::fork();
  require(process >= 0, "a worker process cannot be started: {}; --threads 1 does without", std::strerror(errno));
  if (process > 0) {
    ::close(ends[1]);
    return {.process = process, .message = ends[0], .job = index};
  }
  // Killed with its parent; stopped by it alone, not by the terminal as well, whose second signal would end it at once.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(failed);
  ::setpgid(0, 0);
  ::close(ends[0]);
  set_log_level(LogLevel::quiet);
  ::_exit(run_here(job, index, threads, ends[1]));
}

std::string rest_of(int file) {
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t got = ::read(file, buffer, sizeof buffer);
    if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
    if (got == 0 || (got < 0 && errno != EINTR)) return text;
  }
}

struct Ended {
  Worker worker;
  int status = 0;
};
/// Takes those that have ended off the list; waits a little where none has.
std::vector<Ended> wait_for_some(std::vector<Worker>& workers) {
  std::vector<Ended> ended;
  for (auto worker = workers.begin(); worker != workers.end();) {
    int status = 0;
    if (::waitpid(worker->process, &status, WNOHANG) != worker->process) {
      ++worker;
      continue;
    }
    ended.push_back({*worker, status});
    worker = workers.erase(worker);
  }
  if (ended.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return ended;
}

void run_beside(std::int64_t count, std::int64_t at_once, const std::function<void(std::int64_t)>& job,
                const std::function<void(std::int64_t)>& done) {
  const int threads = std::max(1, omp_get_max_threads() / static_cast<int>(at_once));
  std::vector<Worker> workers;
  std::int64_t next = 0;
  bool told = false, broken = false;
  int ending = finished;  // of the first that did not finish
  std::string failure;
  const auto tell = [&](int signal) {
    for (const Worker& worker : workers) ::kill(worker.process, signal);
  };
  try {
    while (!workers.empty() || (next < count && !broken && !stop_requested())) {
      while (static_cast<std::int64_t>(workers.size()) < at_once && next < count && !broken && !stop_requested())
        workers.push_back(begin(job, next++, threads));
      if (stop_requested() && !told) {
        tell(stop_signal());
        told = true;
      }
      for (const Ended& end : wait_for_some(workers)) {
        const std::string message = rest_of(end.worker.message);
        ::close(end.worker.message);
        const int code = WIFEXITED(end.status) ? WEXITSTATUS(end.status) : -1;
        if (code == finished) {
          done(end.worker.job);
        } else if (!broken && !told) {
          broken = true;
          ending = code;
          failure = code >= 0 ? message : fmt::format("a worker was ended by signal {}", WTERMSIG(end.status));
          tell(SIGTERM);
        }
      }
    }
  } catch (...) {
    tell(SIGKILL);
    for (const Worker& worker : workers) ::waitpid(worker.process, nullptr, 0);
    throw;
  }
  constexpr const char* saved = "the finished parts and the last checkpoints are saved";
  if (ending == misused) throw UsageError(failure);
  if (ending > 128) throw Interrupted(ending - 128, saved);
  if (broken) fail("{}", failure);
  if (stop_requested()) stop(saved);
}

}  // namespace

std::int64_t jobs_at_once(std::int64_t count, Device device) {
  return device.kind == DeviceKind::cpu
             ? std::clamp<std::int64_t>(omp_get_max_threads(), 1, std::max<std::int64_t>(count, 1))
             : 1;
}

JobThreads::JobThreads(std::int64_t count, Device device) : before_(omp_get_max_threads()) {
  omp_set_num_threads(std::max(1, before_ / static_cast<int>(jobs_at_once(count, device))));
}

JobThreads::~JobThreads() {
  omp_set_num_threads(before_);
}

void run_jobs(std::int64_t count, Device device, const std::function<void(std::int64_t)>& job,
              const std::function<void(std::int64_t)>& done) {
  const std::int64_t at_once = jobs_at_once(count, device);
  if (at_once > 1) return run_beside(count, at_once, job, done);
  for (std::int64_t i = 0; i < count; ++i) {
    job(i);
    done(i);
  }
}

}  // namespace tweedie::experiments
