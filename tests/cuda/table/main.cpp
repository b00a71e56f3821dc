// kernel_table: every kernel's benchmark cases on the virtual GPU, one run each, as a table of what they move and need.
//   kernel_table --vgpu-run PATH --bench PATH [--ptxas PATH] [--precision NAME] [--filter REGEX] [--first] [--check]
// --first takes the first case of each operation, and of matrix products, convolutions and attention another that is
// more like most of them. Where --filter matches train_step/ddpm-cifar10/1, a line below the table says which share of
// that step's floating-point operations, in bfloat16, tensor cores do.
// --check fails where a kernel that only waits for memory moves more than 1.1 times its contract's bytes, wastes
// sectors, has bank conflicts or spills, where a matrix product, a convolution, attention or the empirical score has
// bank conflicts, spills or keeps fewer than eight warps resident, and where that share is below 95 %; it looks at no
// other kernels.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "tests/cuda/table/judgement.h"
#include "tests/cuda/table/resources.h"

namespace tweedie::kernel_table {
namespace {

struct Options {
  std::string vgpu_run, bench, ptxas = "ptxas", filter = ".*", precision = "float32";
  bool first = false, check = false;
  int seconds = 120;  // of processor time; a case that takes more is left out
};

/// Dense rates of a card from its maker's data sheet (SXM versions).
struct Card {
  const char* name;
  double bytes, float_flops, tensor_flops;  // a second; tensor: bfloat16
};
constexpr Card a100{"A100", 2.039e12, 19.5e12, 312e12}, h100{"H100", 3.35e12, 66.9e12, 989e12};

double seconds_on(const Card& card, const Row& row) {
  return std::max({row.footprint / card.bytes, row.flops / card.float_flops, row.mma_flops / card.tensor_flops});
}

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string escaped(const std::string& name) {
  return std::regex_replace(name, std::regex(R"([.^$|()\[\]{}*+?\\])"), R"(\$&)");
}

/// What --first takes beside the first: the first products are small, the first convolutions have one channel.
bool stands_for_others(const std::string& name) {
  static const std::regex names(
      "^(matmul/.* m=512 |conv2d_\\w+/n=128 hw=16x16 c=64to64 k=3x3 s=1 |attention_\\w+/.* heads=1 )");
  return std::regex_search(name, names);
}

std::vector<std::string> names_of(const Options& options) {
  std::istringstream lines(
      output_of(fmt::format("{} --check none {} --device cuda --precision {} --list --filter {} 2>/dev/null",
                            options.vgpu_run, options.bench, options.precision, quoted(options.filter))));
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (std::string line; std::getline(lines, line);) {
    line = line.substr(0, line.rfind("/manual_time"));
    const std::string operation = line.substr(0, line.find('/'));
    if (operation == "train_step" || line.ends_with("/cublas") || line.ends_with("/cudnn")) continue;
    const bool first = seen.insert(operation).second;
    if (options.first && !first && !stands_for_others(line)) continue;
    names.push_back(line);
  }
  return names;
}

struct Profile {
  nlohmann::json contract, kernels;
};

/// Runs one benchmark once: what its contract asks for, and what the virtual GPU counted.
Profile profile_of(const Options& options, const std::string& name, const std::string& precision) {
  const std::string path = "/tmp/tweedie_kernel_table_" + std::to_string(getpid()) + ".json";
  const std::string printed = output_of(fmt::format(
      "ulimit -t {}; {} --check none --profile {} {} --device cuda --precision {} --once --filter {} 2>/dev/null",
      options.seconds, options.vgpu_run, path, options.bench, precision,
      quoted("^" + escaped(name) + "(/manual_time)?$")));
  std::ifstream file(path);
  Profile profile{nlohmann::json::parse(printed.substr(printed.find('{'))), nlohmann::json::parse(file).at("kernels")};
  std::remove(path.c_str());
  return profile;
}

Row measure(const Options& options, const std::string& name, const std::map<std::string, Resources>& resources) {
  const Profile profile = profile_of(options, name, options.precision);
  return row_of(name, profile.contract, profile.kernels, resources);
}

constexpr const char* whole_step = "train_step/ddpm-cifar10/1";

/// Prints how much of all the floating-point operations of a training step in bfloat16, by kernels of every kind,
/// tensor cores do.
Work print_tensor_share(const Options& options) {
  const Work work = work_of(profile_of(options, whole_step, "bfloat16").kernels);
  fmt::print("\n{} in bfloat16: tensor cores do {:.2f} % of {:.1f} GFLOP\n", whole_step, 100.0 * work.tensor_share(),
             1e-9 * (work.tensor + work.others));
  return work;
}

void print(const Row& row) {
  fmt::print("| {} | {:.2f} | {:.2f} | {:.2f} | {:.0f} | {:.0f} % | {} | {} | {} | {:.0f} % | {:.4f} | {:.4f} |\n",
             row.name, row.footprint / row.contract_bytes, row.moved / row.contract_bytes, row.worst_efficiency,
             row.conflicts, 100.0 * row.lanes, row.registers, row.spilled, row.warps,
             row.flops + row.mma_flops > 0.0 ? 100.0 * row.mma_flops / (row.flops + row.mma_flops) : 0.0,
             1e3 * seconds_on(a100, row), 1e3 * seconds_on(h100, row));
  std::fflush(stdout);
}

void print_header() {
  fmt::print(
      "| kernel | bytes / contract | requests / contract | sector use | bank conflicts | lanes | registers | spilled | "
      "warps | tensor cores | A100 ms | H100 ms |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- "
      "| --- |\n");
}

int run(const Options& options) {
  const std::vector<std::string> names = names_of(options);
  std::map<std::string, Resources> resources;
  if (!names.empty()) resources = resources_of(options.bench, options.ptxas);
  if (!names.empty()) print_header();
  Verdict verdict;
  for (const std::string& name : names) {
    if (options.check && !waits_for_memory(name) && !waits_for_arithmetic(name)) continue;
    try {
      const Row row = measure(options, name, resources);
      print(row);
      verdict.add(complaint(row));
    } catch (const std::exception& error) {
      if (options.check) verdict.add(name + ": " + error.what());
      fmt::print(stderr, "{}: left out: {}\n", name, error.what());
    }
  }
  if (std::regex_search(whole_step, std::regex(options.filter)))
    verdict.add(complaint(whole_step, print_tensor_share(options)));
  for (const std::string& text : verdict.complaints()) fmt::print(stderr, "kernel_table: {}\n", text);
  return options.check ? verdict.status() : 0;
}

}  // namespace
}  // namespace tweedie::kernel_table

int main(int count, char** arguments) {
  tweedie::kernel_table::Options options;
  const std::map<std::string, std::string*> texts = {{"--vgpu-run", &options.vgpu_run},
                                                     {"--bench", &options.bench},
                                                     {"--ptxas", &options.ptxas},
                                                     {"--precision", &options.precision},
                                                     {"--filter", &options.filter}};
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    if (const auto found = texts.find(argument); found != texts.end() && i + 1 < count) {
      *found->second = arguments[++i];
    } else if (argument == "--first") {
      options.first = true;
    } else if (argument == "--check") {
      options.check = true;
    } else {
      fmt::print(stderr, "kernel_table: unknown option {}\n", argument);
      return 2;
    }
  }
  try {
    return tweedie::kernel_table::run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "kernel_table: {}\n", error.what());
    return 1;
  }
}
