#include "experiments/common/signals.h"

#include <signal.h>

#include <atomic>

namespace tweedie::experiments {
namespace {

std::atomic<int> requested{0};
static_assert(std::atomic<int>::is_always_lock_free, "the handler may only touch lock-free atomics");

void on_signal(int signal) {
  int none = 0;
  if (requested.compare_exchange_strong(none, signal)) return;
  // The second time: die of the signal itself, as a program without a handler would.
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, nullptr);
  sigset_t only_this;
  sigemptyset(&only_this);
  sigaddset(&only_this, signal);
  raise(signal);
  sigprocmask(SIG_UNBLOCK, &only_this, nullptr);
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool stop_requested() {
  return requested.load(std::memory_order_relaxed) != 0;
}

int stop_signal() {
  return requested.load();
}

void clear_stop_request() {
  requested = 0;
}

void stop(const std::string& saved) {
  throw Interrupted(stop_signal(), saved);
}

}  // namespace tweedie::experiments
