#include "experiments/common/options.h"

#include <CLI/App.hpp>

#include <omp.h>

#include "experiments/common/command_line.h"
#include "experiments/common/log.h"
#include "kernels/runtime/autotuner.h"
#include "kernels/runtime/cuda_choices.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/library.h"
#include "nn/network.h"

namespace tweedie::experiments {

// Descriptions of checks would crowd --help, whose texts say the same.
static const CLI::Validator not_negative = CLI::Validator(CLI::NonNegativeNumber).description("");

void add_options(CommandLine& line, RunOptions& options) {
  CLI::App& app = line.app();
  const auto flag = [&app](const char* name, bool& value, const char* text) {
    app.add_flag(name, value, text)->group("Run")->configurable(false);
  };
  app.add_option("--out", options.out, "Folder of this run; made if absent")
      ->required()
      ->type_name("DIR")
      ->group("Run");
  app.add_flag("--quick", options.quick, "Minutes on two cores, on real data, instead of the full size")->group("Run");
  flag("--resume", options.resume, "Go on from the last checkpoint in --out");
  flag("--overwrite", options.overwrite, "Delete the run that --out holds and start anew");
  flag("--dry-run", options.dry_run, "Say what the run would need, and stop");
}

void add_options(CommandLine& line, ComputeOptions& options) {
  CLI::App& app = line.app();
  app.add_option("--seed", options.seed, "Names every random number of the run")->group("Compute");
  app.add_option("--device", options.device, "auto (cuda where there is one), cpu or cuda")
      ->type_name("NAME")
      ->group("Compute");
  app.add_option("--matmul", options.matmul, "On cuda: native, cublas, or auto (the faster, measured once a shape)")
      ->check(CLI::IsMember({"native", "cublas", "auto"}).description(""))
      ->type_name("NAME")
      ->group("Compute");
  app.add_option("--conv", options.conv, "On cuda: native, cudnn, or auto (the faster, measured once a shape)")
      ->check(CLI::IsMember({"native", "cudnn", "auto"}).description(""))
      ->type_name("NAME")
      ->group("Compute");
  app.add_flag("--tf32", options.tf32, "On cuda: float32 products on tensor cores, operands rounded to TF32")
      ->group("Compute");
  app.add_option("--precision", options.precision,
                 "What networks compute in: float32, or bfloat16 with float32 weights, sums and losses")
      ->check(CLI::IsMember({"float32", "bfloat16"}).description(""))
      ->type_name("NAME")
      ->group("Compute");
  app.add_option(
         "--threads", options.threads,
         "Processor threads; 0 for all (or OMP_NUM_THREADS). On the cpu a sweep runs as many of its cells at a time")
      ->check(CLI::Range(0, 4096).description(""))
      ->group("Compute");
  app.add_option("--log-level", options.log_level, "quiet, info or debug")
      ->check(CLI::IsMember({"quiet", "info", "debug"}).description(""))
      ->type_name("NAME")
      ->group("Compute");
}

void add_options(CommandLine& line, DataOptions& options) {
  CLI::App& app = line.app();
  app.add_option("--data", options.data, "Data set name, or a file or folder to read")
      ->type_name("NAME|PATH")
      ->group("Data");
  app.add_option("--resolution", options.resolution, "Side in pixels to bring the images to; 0 leaves them")
      ->check(not_negative)
      ->group("Data");
  app.add_option("--classes", options.classes, "Keep the images of these classes only, e.g. 0,3,7")
      ->delimiter(',')
      ->type_name("INT,...")
      ->group("Data");
  app.add_option("--subset", options.subset, "Number of training images, drawn by --subset-seed; 0 for all")
      ->check(not_negative)
      ->group("Data");
  app.add_option("--subset-seed", options.subset_seed, "Which images a subset holds")->group("Data");
}

namespace {

/// What a flag's value chooses; says so where `auto` has nothing to choose from.
Implementation implementation_of(const char* flag, const std::string& value, CudaLibrary library, Device device) {
  if (value == "native") return Implementation::native;
  const bool fastest = value == "auto";
  if (fastest && device.kind != DeviceKind::cuda) return Implementation::native;
  const std::string problem = why_unavailable(library, device);
  require(problem.empty() || fastest, "{} {}: {}", flag, value, problem);
  if (!problem.empty()) {
    log_info("{} {}: {}; the native kernels serve", flag, value, problem);
    return Implementation::native;
  }
  if (fastest) log_info("{} auto: choices in {}", flag, autotuner().file().string());
  return fastest ? Implementation::fastest : Implementation::library;
}

std::string name_of(Implementation implementation, const char* library) {
  return implementation == Implementation::native    ? "native"
         : implementation == Implementation::library ? library
                                                     : "auto";
}

}  // namespace

Device apply(const ComputeOptions& options) {
  set_log_level(parse_log_level(options.log_level));
  if (options.threads > 0) omp_set_num_threads(options.threads);
  const Device device = [&] {
    try {
      return parse_device(options.device);
    } catch (const Error& error) {
      throw UsageError(error.what());
    }
  }();
  require(!options.tf32 || device.kind == DeviceKind::cuda, "--tf32: only cuda has TF32, and this run is on the cpu");
  cuda_choices() = {.tf32 = options.tf32,
                    .matmul = implementation_of("--matmul", options.matmul, CudaLibrary::cublas, device),
                    .conv2d = implementation_of("--conv", options.conv, CudaLibrary::cudnn, device)};
  if (device.kind == DeviceKind::cuda) log_info("device cuda:{}: {}", device.index, algorithms_on(device.kind));
  set_default_precision(parse_precision(options.precision));
  return device;
}

std::string algorithms_on(DeviceKind kind) {
  if (kind != DeviceKind::cuda) return "oneDNN, own kernels";
  const CudaChoices& choices = cuda_choices();
  return fmt::format("matmul {}, conv {}, {}TF32", name_of(choices.matmul, "cublas"), name_of(choices.conv2d, "cudnn"),
                     choices.tf32 ? "" : "no ");
}

}  // namespace tweedie::experiments
