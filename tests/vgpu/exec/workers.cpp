#include "exec/workers.h"

#include <condition_variable>
#include <thread>

#include "core/settings.h"
#include "exec/profile.h"

namespace tweedie::vgpu {
namespace {

// Threads that wait for the next launch; the caller's thread is the first worker.
class Pool {
 public:
  static Pool& instance() {
    static Pool* pool = new Pool;  // never destroyed: its threads may outlive the statics
    return *pool;
  }
  void run(Launch& launch, int workers) {
    while (static_cast<int>(threads_) < workers - 1) {
      const int number = threads_++;
      std::thread([this, number, seen = generation_] { serve(number + 1, seen); }).detach();
    }
    {
      const std::lock_guard lock(mutex_);
      launch_ = &launch;
      wanted_ = workers;
      busy_ = workers - 1;
      ++generation_;
    }
    if (workers > 1) wake_.notify_all();
    work(launch);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return busy_ == 0; });
    launch_ = nullptr;
  }

 private:
  static void work(Launch& launch) {
    Worker worker;
    worker.launch = &launch;
    worker.ranges.resize(launch.program->memory_slots + 1);
    worker.counters = make_counters(launch);
    run_worker(launch, worker);
    if (worker.counters) add_counters(launch, *worker.counters);
  }
  void serve(int number, u64 seen) {
    for (;;) {
      Launch* launch;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return generation_ != seen; });
        seen = generation_;
        if (number >= wanted_) continue;
        launch = launch_;
      }
      work(*launch);
      const std::lock_guard lock(mutex_);
      if (--busy_ == 0) done_.notify_one();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Launch* launch_ = nullptr;
  int threads_ = 0, wanted_ = 0, busy_ = 0;
  u64 generation_ = 0;
};

}  // namespace

void run_on_workers(Launch& launch) {
  const u64 workers = std::min<u64>(static_cast<u64>(settings().workers), launch.blocks);
  Pool::instance().run(launch, static_cast<int>(std::max<u64>(workers, 1)));
}

}  // namespace tweedie::vgpu
