// vgpu_bench: runs the benchmark program, once with the profile for its instruction counts and once for its times.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace {

std::string output_of(const std::string& command) {
  std::string text;
  std::FILE* pipe = popen(command.c_str(), "r");
  char buffer[4096];
  while (pipe && std::fgets(buffer, sizeof buffer, pipe)) text += buffer;
  if (!pipe || pclose(pipe) != 0) {
    std::fprintf(stderr, "vgpu_bench: failed: %s\n%s", command.c_str(), text.c_str());
    std::exit(1);
  }
  return text;
}
// Of a line "NAME: 1.5 ms, 2.9 processor ms, 7.25 ...": wall and processor milliseconds, and the rate that follows
// them.
struct Line {
  double wall = 0, processor = 0, rate = 0;
};
Line line_of(const std::string& text, const std::string& name) {
  Line line;
  const auto at = text.find(name + ": ");
  if (at == std::string::npos || std::sscanf(text.c_str() + at + name.size(), ": %lf ms, %lf processor ms, %lf",
                                             &line.wall, &line.processor, &line.rate) != 3) {
    std::fprintf(stderr, "vgpu_bench: no times of %s\n", name.c_str());
    std::exit(1);
  }
  return line;
}

}  // namespace

int main() {
  const std::string run = VGPU_RUN, program = std::string(VGPU_CASES) + "/bench";
  const std::string profile = "/tmp/vgpu_bench." + std::to_string(getpid()) + ".json";
  output_of(run + " --profile " + profile + " " + program);
  std::ifstream file(profile);
  const auto json = nlohmann::json::parse(file);
  std::remove(profile.c_str());
  const std::string text = output_of(run + " --check mem " + program);
  std::fputs(text.c_str(), stdout);
  // Two cores that have nothing else to do take half the processor time.
  const struct { const char *kernel, *line; } rates[] = {{"elementwise", "elementwise"}, {"4gemm", "SIMT gemm"}};
  for (const auto& rate : rates)
    for (const auto& kernel : json["kernels"]) {
      if (kernel["name"].get<std::string>().find(rate.kernel) == std::string::npos) continue;
      const double count = kernel["thread_instructions"].get<double>() / kernel["launches"].get<double>();
      const Line line = line_of(text, rate.line);
      std::printf("%s: %.2f billion thread-instructions a second of wall time, %.2f by processor time on two cores\n",
                  rate.line, count / (1e6 * line.wall), 2 * count / (1e6 * line.processor));
    }
  const Line tensor = line_of(text, "mma.sync");
  std::printf("mma.sync: %.1f GFLOP/s of wall time, %.1f by processor time on two cores\n", tensor.rate,
              2 * tensor.rate * tensor.wall / tensor.processor);
  return 0;
}
