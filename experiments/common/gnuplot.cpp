#include "experiments/common/gnuplot.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/runtime/error.h"

extern char** environ;

namespace tweedie::experiments {
namespace {

// An unnamed file in memory: gnuplot reads and writes such files, so neither side can wait for the other.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("gnuplot", MFD_CLOEXEC)) {
    require(descriptor_ >= 0, "plot: no file in memory: {}", std::strerror(errno));
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  int descriptor() const { return descriptor_; }

  void fill(const std::string& text) const {
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t wrote = ::write(descriptor_, text.data() + done, text.size() - done);
      if (wrote < 0 && errno == EINTR) continue;
      require(wrote > 0, "plot: the script could not be handed to gnuplot: {}", std::strerror(errno));
      done += static_cast<std::size_t>(wrote);
    }
    ::lseek(descriptor_, 0, SEEK_SET);
  }
  std::string contents() const {
    std::string text;
    char buffer[1 << 14];
    for (ssize_t got = 0; (got = ::pread(descriptor_, buffer, sizeof buffer, static_cast<off_t>(text.size()))) > 0;) {
      text.append(buffer, static_cast<std::size_t>(got));
    }
    return text;
  }

 private:
  int descriptor_;
};

}  // namespace

std::string run_gnuplot(const std::string& script) {
  const MemoryFile input, output, complaints;
  input.fill(script);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.descriptor(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output.descriptor(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, complaints.descriptor(), STDERR_FILENO);
  char name[] = "gnuplot", no_startup_files[] = "-d";
  char* arguments[] = {name, no_startup_files, nullptr};
  pid_t child = 0;
  const int error = posix_spawnp(&child, name, &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  require(error != ENOENT, "plot: gnuplot is not on PATH: install the Debian package gnuplot-nox");
  require(error == 0, "plot: gnuplot could not be started: {}", std::strerror(error));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "plot: gnuplot failed: {}", complaints.contents());
  return output.contents();
}

std::string gnuplot_text(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') {
      quoted += "''";
    } else if (c == '\n' || c == '\r') {
      quoted += ' ';
    } else {
      if (std::strchr("\\^_{}@&~", c) != nullptr && c != '\0') quoted += '\\';
      quoted += c;
    }
  }
  return quoted + "'";
}

}  // namespace tweedie::experiments
