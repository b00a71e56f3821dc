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
double milliseconds(const std::string& text, const std::string& name) {
  const auto at = text.find(name + ": ");
  return at == std::string::npos ? 0 : std::atof(text.c_str() + at + name.size() + 2);
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
  const struct { const char *kernel, *line; } rates[] = {{"elementwise", "elementwise"}, {"4gemm", "SIMT gemm"}};
  for (const auto& rate : rates)
    for (const auto& kernel : json["kernels"]) {
      if (kernel["name"].get<std::string>().find(rate.kernel) == std::string::npos) continue;
      const double count = kernel["thread_instructions"].get<double>() / kernel["launches"].get<double>();
      std::printf("%s: %.2f billion thread-instructions a second (memcheck on)\n", rate.line,
                  count / (1e6 * milliseconds(text, rate.line)));
    }
  return 0;
}
