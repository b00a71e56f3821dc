#include "runtime/schedule.h"

#include <algorithm>

#include "core/settings.h"
#include "runtime/state.h"

namespace tweedie::vgpu {
namespace {

thread_local bool in_host_function = false;

bool all_done(const Operations& operations) {
  return std::all_of(operations.begin(), operations.end(), [](const auto& operation) { return operation->done; });
}
void sort_last_issued_first(Operations& operations) {
  std::sort(operations.begin(), operations.end(), [](const auto& a, const auto& b) { return a->number > b->number; });
}

}  // namespace

std::shared_ptr<Operation> done_now() {
  auto made = std::make_shared<Operation>();
  made->done = true;
  made->at = std::chrono::steady_clock::now();
  return made;
}

Schedule& Schedule::instance() {
  static Schedule* schedule = new Schedule;  // outlives the program's static destructors
  return *schedule;
}

Schedule::Schedule() : random_(settings().seed) {
  change_pace();
  if (deferred()) std::atexit([] { instance().end_of_program(); });
}

u64 Schedule::draw(u64 count) {
  random_ += 0x9e3779b97f4a7c15ull;
  u64 bits = random_;
  bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9ull;
  bits = (bits ^ bits >> 27) * 0x94d049bb133111ebull;
  return (bits ^ bits >> 31) % count;
}

u64 Schedule::drawn(u64 count) {
  const std::lock_guard lock(mutex_);
  return draw(count);
}

// Operations that happen to run by turns show few mistakes: for a while, one queue is far ahead of another.
void Schedule::change_pace() {
  pace_ = static_cast<Pace>(draw(3));
  for (const auto& queue : queues_) queue->rank = draw(1000);
}

std::shared_ptr<Queue> Schedule::make_queue(QueueKind kind) {
  const std::lock_guard lock(mutex_);
  std::erase_if(queues_, [](const auto& queue) { return queue->pending.empty() && queue.use_count() == 1; });
  queues_.push_back(std::make_shared<Queue>(Queue{kind, draw(1000), {}}));
  return queues_.back();
}

// What the queue's next operation waits for in others: the legacy stream and the blocking ones wait for each other.
Operations Schedule::barriers(const Queue& queue) const {
  Operations found;
  if (queue.kind == QueueKind::independent) return found;
  for (const auto& other : queues_)
    if (other->kind != QueueKind::independent &&
        (other->kind == QueueKind::legacy) != (queue.kind == QueueKind::legacy) && !other->pending.empty())
      found.push_back(other->pending.back());
  return found;
}

std::shared_ptr<Operation> Schedule::issue(Queue& queue, std::function<cudaError_t()> run, bool host,
                                           const Operations& after) {
  Lock lock(mutex_);
  auto made = std::make_shared<Operation>();
  made->run = std::move(run);
  made->host = host;
  made->queue = &queue;
  made->number = ++issued_;
  made->after = barriers(queue);
  for (const auto& other : after)
    if (!other->done && other->queue != &queue) made->after.push_back(other);
  sort_last_issued_first(made->after);
  queue.pending.push_back(made);
  if (settings().streams == Streams::random && !in_host_function) {  // the device works beside the host
    if (draw(16) == 0) change_pace();
    while (pace_ == Pace::all || (pace_ == Pace::some && draw(2))) {
      const auto ready = any_ready(false, nullptr);
      if (!ready) break;
      this->run(lock, ready);
    }
  }
  return made;
}

Operations Schedule::before(const Queue& queue) {
  const std::lock_guard lock(mutex_);
  Operations found;
  if (queue.kind == QueueKind::legacy) found = barriers(queue);
  if (!queue.pending.empty()) found.push_back(queue.pending.back());
  return found;
}

Operations Schedule::all() {
  const std::lock_guard lock(mutex_);
  Operations found;
  for (const auto& queue : queues_)
    if (!queue->pending.empty()) found.push_back(queue->pending.back());
  return found;
}

// A stream runs as far as it can before what it waits for in another: whoever forgot to wait comes too early.
std::shared_ptr<Operation> Schedule::next_late(std::shared_ptr<Operation> target) {
  for (;;) {
    const auto head = target->queue->pending.front();
    if (head->running) return nullptr;
    const auto waited_for =
        std::find_if(head->after.begin(), head->after.end(), [](const auto& other) { return !other->done; });
    if (waited_for == head->after.end()) return head;
    target = *waited_for;
  }
}

// How far each queue must run before all targets are done; of use in a random order alone.
Schedule::Reach Schedule::reach_of(Operations targets) const {
  Reach reach;
  while (settings().streams == Streams::random && !targets.empty()) {
    const auto target = targets.back();
    targets.pop_back();
    if (target->done) continue;
    u64& limit = reach[target->queue];
    if (limit >= target->number) continue;
    for (const auto& each : target->queue->pending)
      if (each->number > limit && each->number <= target->number)
        targets.insert(targets.end(), each->after.begin(), each->after.end());
    limit = target->number;
  }
  return reach;
}

// One of those that can run now, drawn; `within`: of those alone.
std::shared_ptr<Operation> Schedule::any_ready(bool with_host_functions, const Reach* within) {
  Operations ready;
  for (const auto& queue : queues_) {
    if (queue->pending.empty()) continue;
    const auto& head = queue->pending.front();
    if (head->running || !all_done(head->after) || (head->host && !with_host_functions)) continue;
    if (within) {
      const auto limit = within->find(queue.get());
      if (limit == within->end() || head->number > limit->second) continue;
    }
    ready.push_back(head);
  }
  if (ready.empty()) return nullptr;
  if (draw(4) == 0) return ready[draw(ready.size())];
  return *std::max_element(ready.begin(), ready.end(),
                           [](const auto& a, const auto& b) { return a->queue->rank < b->queue->rank; });
}

std::shared_ptr<Operation> Schedule::next(const Operations& targets, const Reach* within) {
  if (settings().streams == Streams::random) return any_ready(true, within);
  std::shared_ptr<Operation> last;
  for (const auto& target : targets)
    if (!target->done && (!last || target->number > last->number)) last = target;
  return next_late(last);
}

void Schedule::run(Lock& lock, const std::shared_ptr<Operation>& operation) {
  operation->running = true;
  lock.unlock();
  in_host_function = operation->host;
  cudaError_t error = operation->run ? operation->run() : cudaSuccess;
  in_host_function = false;
  operation->run = nullptr;
  // The call that issued it has returned: what is wrong with it now stays, as a kernel's errors do.
  if (error == cudaErrorInvalidValue) error = cudaErrorIllegalAddress;
  if (error && !sticky_error()) State::instance().sticky = error;
  lock.lock();
  operation->at = std::chrono::steady_clock::now();
  operation->done = true;
  operation->after.clear();
  operation->queue->pending.pop_front();
  changed_.notify_all();
}

cudaError_t Schedule::wait(const Operations& targets) {
  if (in_host_function) return cudaErrorNotPermitted;
  Lock lock(mutex_);
  const Reach reach = reach_of(targets);
  const Reach* within = draw(2) ? &reach : nullptr;  // in a random order, others may run meanwhile or not
  while (!all_done(targets)) {
    if (const auto ready = next(targets, within))
      run(lock, ready);
    else
      changed_.wait(lock);  // another thread runs what is needed
  }
  return sticky_error();
}

bool Schedule::ask(const Operations& targets) {
  Lock lock(mutex_);
  if (all_done(targets)) return true;
  const Reach reach = reach_of(targets);
  if (!in_host_function)
    if (const auto ready = next(targets, &reach)) run(lock, ready);
  return false;
}

// What nobody waited for runs still, so that the checks see it, but for what calls into a program that has ended.
void Schedule::end_of_program() {
  Lock lock(mutex_);
  while (const auto ready = any_ready(false, nullptr)) run(lock, ready);
}

}  // namespace tweedie::vgpu
