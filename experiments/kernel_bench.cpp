#include <benchmark/benchmark.h>
#include <fmt/core.h>
#include <CLI/App.hpp>

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <regex>

#include "autograd/ops/arithmetic.h"
#include "diffusion/trainer.h"
#include "experiments/common/command_line.h"
#include "experiments/common/options.h"
#include "experiments/common/training.h"
#include "kernels/bfloat16_cases.h"
#include "kernels/matmul/matmul.h"
#include "kernels/runtime/cuda_choices.h"
#include "kernels/runtime/device_timer.h"
#include "kernels/runtime/library.h"
#include "kernels/runtime/parallel.h"

namespace tweedie::experiments {
namespace {

struct Options {
  ComputeOptions compute;
  std::string filter = ".*";
  std::string format = "console";
  double seconds = 0.3;
  bool list = false;
  bool once = false;
};

/// The library that has a second implementation of an operation on cuda, and what a benchmark of it is called.
struct Second {
  CudaLibrary library;
  const char* name;
};
std::optional<Second> second_of(const OperationCase& operation) {
  if (operation.operation == "matmul") return Second{CudaLibrary::cublas, "cublas"};
  if (operation.operation.starts_with("conv2d_")) return Second{CudaLibrary::cudnn, "cudnn"};
  return std::nullopt;
}

/// Products and convolutions by the libraries alone while this lives.
class ByLibraries {
 public:
  ByLibraries() { cuda_choices().matmul = cuda_choices().conv2d = Implementation::library; }
  ~ByLibraries() { cuda_choices() = before_; }
  ByLibraries(const ByLibraries&) = delete;
  ByLibraries& operator=(const ByLibraries&) = delete;

 private:
  CudaChoices before_ = cuda_choices();
};

/// What this machine does at best, measured in this run: every kernel is shown as a share of these.
struct Ceilings {
  double gemm_flops = 0.0;  // per second: matrix_multiply of 2048 x 2048 matrices, by cuBLAS too where there is one
  double copy_bytes = 0.0;  // per second, read and written: a copy of 256 MiB by all threads
};

Ceilings measure_ceilings(Device device, DType dtype) {
  Ceilings ceilings;
  constexpr std::int64_t side = 2048;
  const auto matrix = [&](double value) { return as_dtype(Tensor::full({1, side, side}, value, device), dtype); };
  const Tensor a = matrix(1.0), b = matrix(0.5), c = matrix(0.0);
  Stream& stream = default_stream(device);
  const auto multiply = [&] { matrix_multiply(stream, {.a = a.array(), .b = b.array(), .bias = {}, .c = c.array()}); };
  constexpr std::int64_t bytes = std::int64_t{256} << 20;
  const Tensor from = Tensor::zeros({bytes / 4}, device), to = Tensor::zeros({bytes / 4}, device);
  const auto copy = [&] {
    if (device.kind != DeviceKind::cpu) return stream.copy(to.array().data, from.array().data, bytes);
    parallel_for(bytes, 1 << 16, [&](std::int64_t first, std::int64_t last) {
      std::memcpy(static_cast<char*>(to.array().data) + first, static_cast<const char*>(from.array().data) + first,
                  static_cast<std::size_t>(last - first));
    });
  };
  multiply();
  copy();
  // Other work on a shared machine only slows things down, so the best of several is the machine's own rate.
  const bool cublas = why_unavailable(CudaLibrary::cublas, device).empty();
  const auto measure_gemm = [&] {
    ceilings.gemm_flops = std::max(ceilings.gemm_flops, 2.0 * side * side * side / seconds_on_device(stream, multiply));
  };
  for (int i = 0; i < 15; ++i) {
    measure_gemm();
    if (cublas) {
      const ByLibraries by_libraries;
      if (i == 0) multiply();
      measure_gemm();
    }
    ceilings.copy_bytes =
        std::max(ceilings.copy_bytes, 2.0 * static_cast<double>(bytes) / seconds_on_device(stream, copy));
  }
  return ceilings;
}

/// Times `run`, which does `work`, and reports its rates beside the ceilings. On cuda each run is timed between events
/// with a cold L2 cache, and the median counts; on the cpu the mean of runs in a row.
void measure(benchmark::State& state, Device device, const Work& work, const Ceilings& ceilings,
             const std::function<void()>& run) {
  Stream& stream = default_stream(device);
  std::vector<double> times;
  constexpr std::int64_t flushed_bytes = std::int64_t{256} << 20;  // more than any card's L2
  const Tensor flushed = device.kind == DeviceKind::cuda ? Tensor::zeros({flushed_bytes / 4}, device) : Tensor();
  for (auto _ : state) {
    if (flushed.defined()) stream.zero(flushed.array().data, flushed_bytes);
    times.push_back(seconds_on_device(stream, run));
    state.SetIterationTime(times.back());
  }
  double seconds = 0.0;
  if (device.kind == DeviceKind::cuda) {
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
    seconds = times[times.size() / 2];
    state.counters["median_ms"] = 1e3 * seconds;
  } else {
    for (const double time : times) seconds += time / static_cast<double>(times.size());
  }
  state.counters["GFLOP/s"] = work.flops * 1e-9 / seconds;
  state.counters["GB/s"] = work.bytes * 1e-9 / seconds;
  state.counters["of_gemm"] = work.flops / seconds / ceilings.gemm_flops;
  state.counters["of_copy"] = work.bytes / seconds / ceilings.copy_bytes;
}

/// Values that keep every kernel in its usual range: bounded, not special, indices in range.
Tensor filled(const Operand& operand, std::uint32_t stream, Device device) {
  const auto count = static_cast<std::size_t>(operand.shape.count());
  const auto value = [&](std::size_t i) {
    // A cheap sequence with no structure that a kernel could profit from.
    const double u = static_cast<double>((i * 2654435761u + stream * 40503u) % 65536u) / 65536.0;
    switch (operand.fill) {
      case Fill::normal:
        return operand.offset + operand.scale * 3.4 * (u - 0.5);
      case Fill::positive:
        return operand.scale * (0.25 + u);
      case Fill::small_integers:
        return static_cast<double>(static_cast<int>(7.0 * u)) - 3.0;
      case Fill::indices:
        return static_cast<double>(static_cast<std::int64_t>(operand.scale * u));
      case Fill::ramp:
        return static_cast<double>(i);
      case Fill::ones:
        return 1.0;
      case Fill::zeros:
        return 0.0;
    }
    return 0.0;
  };
  if (operand.dtype == DType::float64) {
    std::vector<double> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = value(i);
    const Tensor tensor = Tensor::empty(operand.shape, DType::float64, device);
    tensor.stream().copy_from_host(tensor.array().data, values.data(), values.size() * sizeof(double));
    return tensor;
  }
  if (is_floating(operand.dtype)) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(value(i));
    return as_dtype(Tensor::from_host(std::span<const float>(values), operand.shape, device), operand.dtype);
  }
  if (operand.dtype == DType::uint8) {
    std::vector<std::uint8_t> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<std::uint8_t>((i * 2654435761u) >> 8);
    return Tensor::from_host(std::span<const std::uint8_t>(values), operand.shape, device);
  }
  std::vector<std::int64_t> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<std::int64_t>(value(i));
  return Tensor::from_host(std::span<const std::int64_t>(values), operand.shape, device);
}

struct Operands {
  Operands(const OperationCase& operation, Device device) {
    for (const Operand& operand : operation.operands) {
      tensors.push_back(filled(operand, static_cast<std::uint32_t>(tensors.size()), device));
      arrays.push_back(tensors.back().array());
    }
  }
  std::vector<Tensor> tensors;
  std::vector<Array> arrays;
};

void run_case(benchmark::State& state, const OperationCase& operation, Device device, const Ceilings& ceilings) {
  const Operands operands(operation, device);
  const std::vector<Array>& arrays = operands.arrays;
  Stream& stream = default_stream(device);
  if (operation.prepare) operation.prepare(stream, arrays);
  const Work before = work_done();
  operation.run(stream, arrays);
  stream.synchronize();
  const Work work{work_done().flops - before.flops, work_done().bytes - before.bytes};
  measure(state, device, work, ceilings, [&] { operation.run(stream, arrays); });
}

/// A preset in training: noising, forward, backward, clipping, AdamW with averages.
struct Training {
  std::unique_ptr<NetworkScore> model;
  std::unique_ptr<Trainer> trainer;
};

Training make_training(const std::string& preset, std::int64_t batch, Device device) {
  const std::int64_t channels = preset == "ddpm-cifar10" ? 3 : 1;
  std::vector<std::byte> pixels(static_cast<std::size_t>(batch * 32 * 32 * channels));
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::byte>((i * 2654435761u) >> 11);
  const data::ImageSet images =
      data::make_image_set("noise", data::Split::train, {batch, 32, 32, channels}, DType::uint8, std::move(pixels));
  ModelOptions options;
  options.network = preset;
  Training training{.model = make_model(options, images, device, 0), .trainer = {}};
  TrainerOptions trainer_options;
  trainer_options.steps = INT64_MAX;
  trainer_options.batch = batch;
  trainer_options.log_every = INT64_MAX;
  trainer_options.optimizer.clip_norm = 1.0;
  training.trainer = std::make_unique<Trainer>(
      *training.model, make_objective(options, on_device(images, device), training.model->process()), nullptr,
      trainer_options);
  return training;
}

void run_train_step(benchmark::State& state, const std::string& preset, std::int64_t batch, Device device,
                    const Ceilings& ceilings) {
  const Training training = make_training(preset, batch, device);
  Trainer& trainer = *training.trainer;
  trainer.run(1, {});
  Work work = work_done();
  trainer.run(2, {});
  work = {work_done().flops - work.flops, work_done().bytes - work.bytes};
  measure(state, device, work, ceilings, [&] { trainer.run(trainer.steps_done() + 1, {}); });
  state.counters["images/s"] = static_cast<double>(batch) * 1e9 * state.counters["GFLOP/s"].value / work.flops;
}

constexpr std::pair<const char*, std::int64_t> training_steps[] = {
    {"unet-xs", 64}, {"unet-xs", 128},    {"unet-s", 64},     {"unet-s", 128},
    {"unet-m", 64},  {"ddpm-cifar10", 8}, {"ddpm-cifar10", 1}};

std::string training_step_name(const std::string& preset, std::int64_t batch) {
  return fmt::format("train_step/{}/{}", preset, batch);
}

/// Runs what matches once, for a profiler to watch, and says what the contracts ask for.
void run_once(const std::vector<OperationCase>& cases, const std::string& filter, Device device) {
  const std::regex expression(filter, std::regex::extended);
  Stream& stream = default_stream(device);
  const auto run = [&](const std::string& name, const std::function<void()>& body) {
    const Work before = work_done();
    body();
    stream.synchronize();
    fmt::print("{{\"name\": \"{}\", \"flops\": {}, \"bytes\": {}}}\n", name, work_done().flops - before.flops,
               work_done().bytes - before.bytes);
  };
  for (const OperationCase& operation : cases) {
    const std::string name = operation.operation + "/" + operation.label;
    if (operation.level != CaseLevel::benchmark || !std::regex_search(name, expression)) continue;
    const Operands operands(operation, device);
    if (operation.prepare) operation.prepare(stream, operands.arrays);
    run(name, [&] { operation.run(stream, operands.arrays); });
  }
  for (const auto& [preset, batch] : training_steps) {
    const std::string name = training_step_name(preset, batch);
    if (!std::regex_search(name, expression)) continue;
    const Training training = make_training(preset, batch, device);
    run(name, [&] { training.trainer->run(1, {}); });
  }
}

/// Throws UsageError unless the filter is an expression that some benchmark's name matches. The benchmark library would
/// say so too, in its own way, and only once the ceilings are measured.
void check_filter(const std::string& filter, const std::vector<OperationCase>& cases, Device device) {
  const bool inverted = filter.starts_with('-');  // as the library has it
  std::regex expression;
  try {
    expression.assign(filter.substr(inverted ? 1 : 0), std::regex::extended);
  } catch (const std::regex_error&) {
    throw UsageError(fmt::format("--filter '{}' is not a regular expression", filter));
  }
  const auto matches = [&](const std::string& name) {
    return std::regex_search(name + "/manual_time", expression) != inverted;
  };
  bool any = false;
  for (const OperationCase& operation : cases) {
    if (operation.level != CaseLevel::benchmark) continue;
    const std::string name = operation.operation + "/" + operation.label;
    const auto second = second_of(operation);
    any = any || matches(name);
    any = any || (second && why_unavailable(second->library, device).empty() && matches(name + "/" + second->name));
  }
  for (const auto& [preset, batch] : training_steps) any = any || matches(training_step_name(preset, batch));
  if (!any) throw UsageError(fmt::format("--filter '{}' matches no benchmark; --list shows them", filter));
}

void run(const Options& options) {
  const Device device = apply(options.compute);
  const bool bfloat16 = parse_precision(options.compute.precision) == Precision::bfloat16;
  const std::vector<OperationCase> cases = bfloat16 ? bfloat16_cases() : all_cases();
  check_filter(options.filter, cases, device);
  if (options.once) return run_once(cases, options.filter, device);
  std::vector<std::string> arguments = {
      "kernel_bench", "--benchmark_filter=" + options.filter, "--benchmark_format=" + options.format,
      fmt::format("--benchmark_min_time={}", options.seconds), "--benchmark_counters_tabular=true"};
  if (options.list) arguments.emplace_back("--benchmark_list_tests=true");
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  int count = static_cast<int>(pointers.size());
  benchmark::Initialize(&count, pointers.data());

  Ceilings ceilings{1.0, 1.0};
  if (!options.list) {
    ceilings = measure_ceilings(device, bfloat16 ? DType::bfloat16 : DType::float32);
    benchmark::AddCustomContext("GEMM 2048 GFLOP/s", fmt::format("{:.0f}", ceilings.gemm_flops * 1e-9));
    benchmark::AddCustomContext("copy GB/s (read + written)", fmt::format("{:.1f}", ceilings.copy_bytes * 1e-9));
    benchmark::AddCustomContext("threads", std::to_string(omp_get_max_threads()));
    benchmark::AddCustomContext("device", std::string(name_of(device.kind)));
    benchmark::AddCustomContext("precision", options.compute.precision);
  }
  for (const OperationCase& operation : cases) {
    if (operation.level != CaseLevel::benchmark) continue;
    const std::string name = operation.operation + "/" + operation.label;
    const auto add = [](const std::string& benchmark_name, const auto& function) {
      benchmark::RegisterBenchmark(benchmark_name.c_str(), function)->UseManualTime()->Unit(benchmark::kMillisecond);
    };
    add(name,
        [&operation, device, &ceilings](benchmark::State& state) { run_case(state, operation, device, ceilings); });
    if (const auto second = second_of(operation); second && why_unavailable(second->library, device).empty())
      add(name + "/" + second->name, [&operation, device, &ceilings](benchmark::State& state) {
        const ByLibraries by_libraries;
        run_case(state, operation, device, ceilings);
      });
  }
  for (const auto& [preset, batch] : training_steps)
    benchmark::RegisterBenchmark(
        training_step_name(preset, batch).c_str(),
        [preset = std::string(preset), batch = batch, device, &ceilings](benchmark::State& state) {
          run_train_step(state, preset, batch, device, ceilings);
        })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  benchmark::RunSpecifiedBenchmarks();
}

}  // namespace
}  // namespace tweedie::experiments

int main(int argc, char** argv) {
  using namespace tweedie::experiments;
  Options options;
  return run_program(
      argc, argv,
      {.name = "kernel_bench",
       .description = "Times every kernel, and whole training steps, beside this machine's own GEMM and copy rates.",
       .examples = {{"kernel_bench --filter group_norm", "the kernels whose name contains group_norm"},
                    {"kernel_bench --filter train_step/unet-s/128", "a whole training step"},
                    {"kernel_bench --device cuda --filter conv2d",
                     "convolutions on a GPU, and beside each its second implementation by cuDNN where there is one"},
                    {"kernel_bench --device cuda --precision bfloat16", "every kernel that takes bfloat16 operands"},
                    {"kernel_bench --format json > bench.json", "everything, for a program to read"}},
       .stops_when_asked = false},
      [&](CommandLine& line) {
        add_options(line, options.compute);
        CLI::App& app = line.app();
        app.add_option("--filter", options.filter, "Regular expression on names")->type_name("REGEX");
        app.add_option("--format", options.format, "console, json or csv")
            ->check(CLI::IsMember({"console", "json", "csv"}))
            ->type_name("NAME");
        app.add_option("--seconds", options.seconds, "Least time for each benchmark")->check(CLI::PositiveNumber);
        app.add_flag("--list", options.list, "Names only");
        app.add_flag("--once", options.once, "Run each once and time nothing: for a profiler");
      },
      [&](const CommandLine&) { run(options); });
}
