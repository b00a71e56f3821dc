#include <signal.h>

#include <cstdio>
#include <exception>
#include <new>

#include "experiments/common/command_line.h"
#include "experiments/common/signals.h"

#include <CLI/App.hpp>

namespace tweedie::experiments {
namespace {

void complain(const Program& program, std::string message) {
  // One line, whatever its parts: a table's line breaks and padding become single spaces.
  if (message.find_first_of("\n\r") != std::string::npos) {
    std::string line;
    for (const char c : message) {
      const bool blank = c == '\n' || c == '\r' || c == ' ';
      if (!blank || (!line.empty() && line.back() != ' ')) line += blank ? ' ' : c;
    }
    message = line;
  }
  // Not fmt::print, which throws where stderr itself cannot be written.
  std::fputs(fmt::format("{}: {}\n", program.name, message).c_str(), stderr);
}

}  // namespace

int run_program(int argc, const char* const* argv, const Program& program,
                const std::function<void(CommandLine&)>& setup, const std::function<void(CommandLine&)>& body) {
  // A file-size limit (ulimit -f) then makes a write fail, with a message, as a full disk does.
  signal(SIGXFSZ, SIG_IGN);
  if (program.stops_when_asked) install_signal_handlers();
  try {
    CommandLine line(program);
    setup(line);
    try {
      if (line.parse(argc, argv)) body(line);
      require(std::fflush(stdout) == 0 && std::ferror(stdout) == 0, "standard output could not be written");
      return 0;
    } catch (const Interrupted& interrupted) {
      const bool resumable = line.app().get_option_no_throw("--resume") != nullptr;
      const bool resumed = resumable && line.app().get_option("--resume")->count() > 0;
      complain(program, fmt::format("stopped by {}: {}{}{}{}", interrupted.signal() == SIGINT ? "SIGINT" : "SIGTERM",
                                    interrupted.what(), resumable ? "; to go on: " : "",
                                    resumable ? line.command() : "", resumable && !resumed ? " --resume" : ""));
      return 128 + interrupted.signal();
    }
  } catch (const UsageError& error) {
    complain(program, fmt::format("{}; see {} --help", error.what(), program.name));
    return 2;
  } catch (const std::bad_alloc&) {
    complain(program, "out of memory");
  } catch (const std::exception& error) {
    complain(program, error.what());
  } catch (...) {
    complain(program, "failed for an unknown reason");
  }
  return 1;
}

}  // namespace tweedie::experiments
