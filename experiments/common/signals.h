#pragma once

#include "kernels/runtime/error.h"

namespace tweedie::experiments {

/// From here on the first SIGINT or SIGTERM only asks the program to stop, and a second one ends it at once.
void install_signal_handlers();

/// Whether a stop was asked for; long loops poll it, write a checkpoint and call `stop`.
bool stop_requested();
/// The signal that asked for it, 0 where none did.
int stop_signal();
/// Forgets the request (tests).
void clear_stop_request();

/// Thrown by `stop`: run_program says how to resume and exits with 128 + signal.
class Interrupted : public Error {
 public:
  Interrupted(int signal, const std::string& message) : Error(message), signal_(signal) {}
  int signal() const { return signal_; }

 private:
  int signal_;
};

/// Ends the run after its state was saved: throws Interrupted. `saved` says what was saved and where.
[[noreturn]] void stop(const std::string& saved);

}  // namespace tweedie::experiments
