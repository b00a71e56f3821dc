#pragma once

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace tweedie::experiments {

struct Outcome {
  int status = -1;
  std::string output;  // stdout and stderr together
};

/// Runs build/bin/`name` with these arguments (none may hold a single quote).
inline Outcome run_binary(const std::string& name, const std::vector<std::string>& arguments) {
  std::string command = std::string(TWEEDIE_BINARY_DIR) + "/bin/" + name;
  for (const std::string& argument : arguments) command += " '" + argument + "'";
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("no pipe");
  Outcome outcome;
  std::array<char, 4096> buffer{};
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe))
    outcome.output.append(buffer.data(), count);
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

}  // namespace tweedie::experiments
