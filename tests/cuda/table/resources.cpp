#include "tests/cuda/table/resources.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>
#include <stdexcept>

namespace tweedie::kernel_table {

std::string output_of(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  std::string output;
  std::array<char, 65536> buffer;
  while (const std::size_t count = fread(buffer.data(), 1, buffer.size(), pipe)) output.append(buffer.data(), count);
  const int status = pclose(pipe);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw std::runtime_error(command + " ended with status " + std::to_string(WEXITSTATUS(status)));
  return output;
}

std::map<std::string, Resources> resources_of(const std::string& executable, const std::string& ptxas) {
  std::ifstream file(executable, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const std::string start = "\n.version ";
  const std::string name = "/tmp/tweedie_kernel_table_" + std::to_string(getpid()) + ".ptx";
  const std::regex compiling("Function properties for (\\S+)");
  const std::regex spills("(\\d+) bytes spill stores, (\\d+) bytes spill loads"), used("Used (\\d+) registers");
  std::map<std::string, Resources> all;
  for (std::size_t at = bytes.find(start); at != std::string::npos; at = bytes.find(start, at + 1)) {
    const std::size_t end = bytes.find('\0', at);
    std::ofstream(name, std::ios::binary) << bytes.substr(at, end - at);
    std::istringstream lines(output_of(ptxas + " -v -arch=sm_80 --fmad=false " + name + " -o /dev/null 2>&1"));
    std::string line, kernel;
    std::smatch match;
    while (std::getline(lines, line)) {
      if (std::regex_search(line, match, compiling)) kernel = match[1];
      if (std::regex_search(line, match, spills)) all[kernel].spilled_bytes = std::stoi(match[1]) + std::stoi(match[2]);
      if (std::regex_search(line, match, used)) all[kernel].registers = std::stoi(match[1]);
    }
  }
  std::remove(name.c_str());
  if (all.empty()) throw std::runtime_error(executable + ": holds no readable PTX");
  return all;
}

int resident_warps(const Resources& resources, int block_threads, long shared_bytes) {
  const int warps = (block_threads + 31) / 32;
  const int registers_of_warp = (resources.registers * 32 + 255) / 256 * 256;  // handed out by 256
  int blocks = std::min(32, 64 / warps);
  if (registers_of_warp > 0) blocks = std::min(blocks, 65536 / registers_of_warp / warps);
  const long shared = shared_bytes + 1024;  // what the system keeps of each block's
  blocks = std::min(blocks, static_cast<int>((164l << 10) / shared));
  return blocks * warps;
}

}  // namespace tweedie::kernel_table
