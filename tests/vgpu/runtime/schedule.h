// What streams hold until it must run: vgpu-run --streams late|random. An operation may run as soon as those before it
// in its stream are done, and what else it was made to wait for when it was issued. Nothing runs by itself: whoever
// waits runs what it waits for.
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include <cuda_runtime_api.h>

#include "core/types.h"

namespace tweedie::vgpu {

struct Queue;

struct Operation {
  std::function<cudaError_t()> run;               // empty for a mere wait or mark
  std::vector<std::shared_ptr<Operation>> after;  // of other queues, the last issued first
  Queue* queue = nullptr;
  u64 number = 0;     // in the order of issue, over all queues
  bool host = false;  // calls back into the program or a library
  bool running = false, done = false;
  std::chrono::steady_clock::time_point at;  // when it was done
};
using Operations = std::vector<std::shared_ptr<Operation>>;

// One that is done: what an event holds where streams run as they are issued.
std::shared_ptr<Operation> done_now();

enum class QueueKind : u8 { legacy, blocking, independent };

// A stream's operations that are not done. It outlives its stream while there are any.
struct Queue {
  QueueKind kind;
  u64 rank;  // in a random order, the queue of the highest rank mostly goes first
  std::deque<std::shared_ptr<Operation>> pending;
};

class Schedule {
 public:
  static Schedule& instance();

  std::shared_ptr<Queue> make_queue(QueueKind kind);
  // `after`: what it waits for besides what its queue makes it wait for.
  std::shared_ptr<Operation> issue(Queue& queue, std::function<cudaError_t()> run, bool host = false,
                                   const Operations& after = {});

  Operations before(const Queue& queue);  // what a synchronisation of the queue waits for
  Operations all();
  // Returns once all are done; the device's error, if there is one.
  cudaError_t wait(const Operations& targets);
  // Are all done? Where not, one operation runs, so that a loop of questions ends.
  bool ask(const Operations& targets);
  // A number below `count`, drawn from the seed.
  u64 drawn(u64 count);

 private:
  using Lock = std::unique_lock<std::mutex>;
  Schedule();
  using Reach = std::map<const Queue*, u64>;  // the last number of each queue that is needed
  Operations barriers(const Queue& queue) const;
  Reach reach_of(Operations targets) const;
  std::shared_ptr<Operation> next(const Operations& targets, const Reach* within);
  static std::shared_ptr<Operation> next_late(std::shared_ptr<Operation> target);
  std::shared_ptr<Operation> any_ready(bool with_host_functions, const Reach* within);
  void run(Lock& lock, const std::shared_ptr<Operation>& operation);
  u64 draw(u64 count);
  void change_pace();
  void end_of_program();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<Queue>> queues_;
  u64 issued_ = 0, random_ = 0;
  // In a random order: how far the device comes while the host issues the next operation.
  enum class Pace : u8 { hold, some, all } pace_ = Pace::hold;
};

}  // namespace tweedie::vgpu
