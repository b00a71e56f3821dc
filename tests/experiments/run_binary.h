#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace tweedie::experiments {

struct Outcome {
  int status = -1;  // of exit; 128 + signal where one ended it
  int signal = 0;   // that ended it, 0 for none
  std::string standard_output, errors;
  std::string output;  // both, what was asked for first

  /// Complaints are one line on stderr; other lines there say what the run is doing.
  std::string last_error_line() const {
    const std::size_t end = errors.find_last_not_of('\n');
    if (end == std::string::npos) return "";
    const std::size_t before = errors.find_last_of('\n', end);
    return errors.substr(before == std::string::npos ? 0 : before + 1,
                         end - (before == std::string::npos ? -1 : before));
  }
  std::size_t error_lines() const { return static_cast<std::size_t>(std::count(errors.begin(), errors.end(), '\n')); }
};

/// What the process may use at most, in bytes.
struct Limits {
  std::optional<rlim_t> file_size = {};      // a write beyond fails, as on a full disk
  std::optional<rlim_t> address_space = {};  // ulimit -v
  bool full_output = false;                  // stdout is /dev/full
  bool full_errors = false;                  // stderr is /dev/full
};

/// A program of build/bin at work, with one thread. Killed where nobody waits for it.
class RunningBinary {
 public:
  RunningBinary(const std::string& name, const std::vector<std::string>& arguments, const Limits& limits = {})
      : output_(std::tmpfile()), errors_(std::tmpfile()) {
    if (output_ == nullptr || errors_ == nullptr) throw std::runtime_error("no temporary file");
    // Everything is made before the fork: between it and exec nothing may allocate.
    std::vector<std::string> words = {std::string(TWEEDIE_BINARY_DIR) + "/bin/" + name};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<std::string> variables = {"OMP_NUM_THREADS=1", "OMP_WAIT_POLICY=passive"};
    for (char** variable = environ; *variable != nullptr; ++variable)
      if (!std::string(*variable).starts_with("OMP_")) variables.emplace_back(*variable);
    const std::vector<char*> argv = pointers(words), environment = pointers(variables);
    const int full = limits.full_output || limits.full_errors ? ::open("/dev/full", O_WRONLY | O_CLOEXEC) : -1;
    process_ = ::fork();
    if (process_ < 0) throw std::runtime_error("no process");
    if (process_ == 0) {
      const auto restrict_to = [](int resource, const std::optional<rlim_t>& most) {
        const rlimit limit{most.value_or(0), most.value_or(0)};
        return !most || ::setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0;
      };
      if (::dup2(limits.full_output ? full : ::fileno(output_), STDOUT_FILENO) >= 0 &&
          ::dup2(limits.full_errors ? full : ::fileno(errors_), STDERR_FILENO) >= 0 &&
          restrict_to(RLIMIT_FSIZE, limits.file_size) && restrict_to(RLIMIT_AS, limits.address_space))
        ::execve(argv[0], argv.data(), environment.data());
      ::_exit(127);
    }
    if (full >= 0) ::close(full);
  }
  ~RunningBinary() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      ::waitpid(process_, nullptr, 0);
    }
    std::fclose(output_);
    std::fclose(errors_);
  }
  RunningBinary(const RunningBinary&) = delete;
  RunningBinary& operator=(const RunningBinary&) = delete;

  void send(int signal) const { ::kill(process_, signal); }

  /// Waits until `condition` holds, looking every millisecond; false where the program ended (or a minute passed)
  /// first.
  template <typename Condition>
  bool wait_until(const Condition& condition) {
    for (int i = 0; i < 60000; ++i) {
      if (condition()) return true;
      if (::waitpid(process_, &raw_status_, WNOHANG) == process_) {
        process_ = -1;
        return condition();
      }
      ::usleep(1000);
    }
    return false;
  }

  Outcome wait() {
    while (process_ > 0 && ::waitpid(process_, &raw_status_, 0) < 0) {
    }
    process_ = -1;
    Outcome outcome;
    outcome.signal = WIFSIGNALED(raw_status_) ? WTERMSIG(raw_status_) : 0;
    outcome.status = WIFEXITED(raw_status_) ? WEXITSTATUS(raw_status_) : 128 + outcome.signal;
    outcome.standard_output = text_of(output_);
    outcome.errors = text_of(errors_);
    outcome.output = outcome.standard_output + outcome.errors;
    return outcome;
  }

 private:
  static std::vector<char*> pointers(std::vector<std::string>& words) {
    std::vector<char*> result;
    for (std::string& word : words) result.push_back(word.data());
    result.push_back(nullptr);
    return result;
  }
  static std::string text_of(std::FILE* file) {
    std::rewind(file);
    std::string text;
    std::array<char, 4096> buffer{};
    while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), file))
      text.append(buffer.data(), count);
    return text;
  }

  std::FILE* output_;
  std::FILE* errors_;
  pid_t process_ = -1;
  int raw_status_ = 0;
};

/// Runs build/bin/`name` with these arguments to its end.
inline Outcome run_binary(const std::string& name, const std::vector<std::string>& arguments,
                          const Limits& limits = {}) {
  return RunningBinary(name, arguments, limits).wait();
}

}  // namespace tweedie::experiments
