#include "suite/runner.h"

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <sstream>

Outcome run_case(const std::string& options, const std::string& program, const std::string& arguments) {
  const std::string command =
      std::string(VGPU_RUN) + " " + options + " " + VGPU_CASES + "/" + program + " " + arguments + " 2>&1";
  Outcome outcome;
  std::FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return outcome;
  std::array<char, 4096> buffer;
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe))
    outcome.text.append(buffer.data(), got);
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

std::vector<std::string> list_cases(const std::string& program) {
  std::istringstream lines(run_case("", program, "--list").text);
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) names.push_back(line);
  return names;
}
