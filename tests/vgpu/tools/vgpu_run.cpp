// vgpu-run: runs a CUDA program on the virtual GPU, with its libraries first on the loader's path.
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

const char kUsage[] =
    "usage: vgpu-run [OPTIONS] PROGRAM [ARGUMENTS...]\n"
    "Runs a CUDA program (built with -cudart shared and uncompressed PTX) on the virtual GPU.\n"
    "  --check LIST     mem, init, race, sync, all (those four), api or none, separated by commas (default: mem)\n"
    "  --profile FILE   write counters of every kernel to FILE as JSON\n"
    "  --seed N         run blocks in an order drawn from N (default 0: in order)\n"
    "  --streams ORDER  when copies, kernels and the like run: issue (default: at the call), late (when something "
    "that\n"
    "                   must wait for them does), random (in a legal order drawn from --seed)\n"
    "  --arch NN        compute capability that the device claims: 80 or 90 (default: 80, or 90 where the PTX needs "
    "it)\n"
    "  --threads N      worker threads (default: every core)\n"
    "  --memory BYTES   device memory (default: three quarters of the machine's)\n"
    "  --mutate KERNEL  run KERNEL without its last store: a program that checks its results should notice\n"
    "The status is the program's own, or 86 when a check reported an error.\n";

std::string own_folder() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  if (length <= 0) return ".";
  path[length] = '\0';
  *std::strrchr(path, '/') = '\0';
  return path;
}

}  // namespace

int main(int count, char** arguments) {
  int at = 1;
  const struct {
    const char* option;
    const char* variable;
  } options[] = {{"--check", "VGPU_CHECK"},   {"--profile", "VGPU_PROFILE"}, {"--seed", "VGPU_SEED"},
                 {"--arch", "VGPU_ARCH"},     {"--threads", "VGPU_THREADS"}, {"--memory", "VGPU_MEMORY"},
                 {"--mutate", "VGPU_MUTATE"}, {"--streams", "VGPU_STREAMS"}};
  for (; at < count && arguments[at][0] == '-'; ++at) {
    if (std::strcmp(arguments[at], "--help") == 0 || std::strcmp(arguments[at], "-h") == 0) {
      std::fputs(kUsage, stdout);
      return 0;
    }
    bool known = false;
    for (const auto& option : options) {
      const std::size_t length = std::strlen(option.option);
      if (std::strncmp(arguments[at], option.option, length) != 0) continue;
      const char* value = nullptr;
      if (arguments[at][length] == '=')
        value = arguments[at] + length + 1;
      else if (arguments[at][length] == '\0' && at + 1 < count)
        value = arguments[++at];
      if (!value) continue;
      std::string text = value;
      if (std::strcmp(option.option, "--profile") == 0 && text[0] != '/') {
        char here[PATH_MAX];
        if (getcwd(here, sizeof here)) text = std::string(here) + "/" + text;
      }
      setenv(option.variable, text.c_str(), 1);
      known = true;
      break;
    }
    if (!known) {
      std::fprintf(stderr, "vgpu-run: unknown option or missing value: %s\n%s", arguments[at], kUsage);
      return 2;
    }
  }
  if (at >= count) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  const std::string folder = own_folder() + "/../vgpu";
  struct stat found;
  if (stat((folder + "/libcudart.so.13").c_str(), &found) != 0) {
    std::fprintf(stderr, "vgpu-run: no libcudart.so.13 in %s\n", folder.c_str());
    return 2;
  }
  const char* old = std::getenv("LD_LIBRARY_PATH");
  setenv("LD_LIBRARY_PATH", (folder + (old && *old ? std::string(":") + old : "")).c_str(), 1);
  execvp(arguments[at], arguments + at);
  std::perror(("vgpu-run: " + std::string(arguments[at])).c_str());
  return 127;
}
