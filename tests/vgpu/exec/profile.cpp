#include "exec/profile.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <mutex>
#include <set>

#include "core/settings.h"

namespace tweedie::vgpu {
namespace {

constexpr int kClasses = static_cast<int>(InstClass::count);

struct Line {
  u64 warps = 0;
  Counters::Memory memory;
};
struct KernelProfile {
  std::set<u32> launches;
  u64 blocks = 0, threads = 0, warp_instructions = 0, thread_instructions = 0;
  u64 classes[kClasses] = {};
  Counters::Memory load, store, shared;
  u64 mma_flops = 0, flops = 0, read_footprint = 0, write_footprint = 0;
  u32 registers = 0, static_shared = 0, dynamic_shared = 0, local = 0, block_threads = 0;
  std::map<std::string, Line> lines;
  std::unordered_map<u64, std::array<u64, 4>> pages;  // of the launch that runs
};

std::mutex mutex;
std::map<std::string, KernelProfile>& profiles() {
  static auto* map = new std::map<std::string, KernelProfile>;
  return *map;
}

void add(Counters::Memory& to, const Counters::Memory& from) {
  to.requests += from.requests;
  to.sectors += from.sectors;
  to.bytes += from.bytes;
  to.shared_requests += from.shared_requests;
  to.wavefronts += from.wavefronts;
  to.conflicts += from.conflicts;
}

void close_footprint(KernelProfile& profile) {
  for (const auto& [page, bits] : profile.pages) {
    profile.read_footprint += 32ull * static_cast<u64>(__builtin_popcountll(bits[0]) + __builtin_popcountll(bits[1]));
    profile.write_footprint += 32ull * static_cast<u64>(__builtin_popcountll(bits[2]) + __builtin_popcountll(bits[3]));
  }
  profile.pages.clear();
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\t' || c == '\n' ? ' ' : c;
  }
  return out + '"';
}

double ratio(u64 a, u64 b) {
  return b ? static_cast<double>(a) / static_cast<double>(b) : 0.0;
}

std::string global_text(const Counters::Memory& m) {
  return fmt::format(
      "{{\"requests\": {}, \"sectors\": {}, \"sectors_per_request\": {:.3f}, \"bytes_requested\": {}, \"bytes_moved\": "
      "{}, "
      "\"sector_efficiency\": {:.4f}}}",
      m.requests, m.sectors, ratio(m.sectors, m.requests), m.bytes, 32 * m.sectors, ratio(m.bytes, 32 * m.sectors));
}

__attribute__((destructor)) void write_profile() {
  const std::string& path = settings().profile;
  if (path.empty()) return;
  const std::lock_guard lock(mutex);
  std::FILE* file = std::fopen((path + ".tmp").c_str(), "w");
  if (!file) {
    std::fprintf(stderr, "vgpu: cannot write the profile to %s\n", path.c_str());
    return;
  }
  std::string out = "{\"kernels\": [";
  const char* separator = "\n";
  for (auto& [name, p] : profiles()) {
    close_footprint(p);
    out += fmt::format(
        "{}{{\"name\": {}, \"launches\": {}, \"blocks\": {}, \"threads\": {}, \"block_threads\": {},\n  \"registers\": "
        "{}, "
        "\"static_shared\": {}, \"dynamic_shared\": {}, \"local_bytes\": {},\n  \"warp_instructions\": {}, "
        "\"thread_instructions\": {}, \"lane_efficiency\": {:.4f}, \"flops\": {}, \"mma_flops\": {},\n"
        "  \"footprint\": {{\"read_bytes\": {}, \"write_bytes\": {}}},\n  \"instructions\": {{",
        separator, quoted(name), p.launches.size(), p.blocks, p.threads, p.block_threads, p.registers, p.static_shared,
        p.dynamic_shared, p.local, p.warp_instructions, p.thread_instructions,
        ratio(p.thread_instructions, 32 * p.warp_instructions), p.flops, p.mma_flops, p.read_footprint,
        p.write_footprint);
    separator = ",\n";
    const char* comma = "";
    for (int c = 0; c < kClasses; ++c) {
      if (!p.classes[c]) continue;
      out += fmt::format("{}\"{}\": {}", comma, name_of(static_cast<InstClass>(c)), p.classes[c]);
      comma = ", ";
    }
    out += fmt::format(
        "}},\n  \"global_load\": {},\n  \"global_store\": {},\n  \"shared\": {{\"requests\": {}, \"wavefronts\": {}, "
        "\"bank_conflicts\": {}}},\n  \"lines\": [",
        global_text(p.load), global_text(p.store), p.shared.shared_requests, p.shared.wavefronts, p.shared.conflicts);
    comma = "\n";
    for (const auto& [at, line] : p.lines) {
      out += fmt::format(
          "{}    {{\"at\": {}, \"requests\": {}, \"sectors\": {}, \"bytes\": {}, \"shared_requests\": {}, "
          "\"wavefronts\": {}, \"bank_conflicts\": {}}}",
          comma, quoted(at), line.memory.requests, line.memory.sectors, line.memory.bytes, line.memory.shared_requests,
          line.memory.wavefronts, line.memory.conflicts);
      comma = ",\n";
    }
    out += "]}";
  }
  out += "\n]}\n";
  std::fwrite(out.data(), 1, out.size(), file);
  std::fclose(file);
  std::rename((path + ".tmp").c_str(), path.c_str());
}

}  // namespace

const char* name_of(InstClass type) {
  static const char* names[] = {"integer",     "float",        "half",    "double",      "convert",
                                "move",        "predicate",    "special", "global_load", "global_store",
                                "shared_load", "shared_store", "local",   "atomic",      "warp",
                                "matrix",      "barrier",      "control", "other"};
  return names[static_cast<int>(type)];
}

void count_access(Counters& counters, u32 number, const u64* addresses, u32 mask, u32 bytes, SpaceKind space,
                  bool write) {
  Counters::Memory& m = counters.memory[number];
  if (space == SpaceKind::global) {
    u64 sectors[2 * kLanes + 2];
    int count = 0;
    for (u32 rest = mask; rest; rest &= rest - 1) {
      const u64 address = addresses[__builtin_ctz(rest)];
      if (address & kWindowMask && (address & kWindowMask) <= kFunctionWindow &&
          (address & kWindowMask) >= kSharedWindow)
        continue;
      m.bytes += bytes;
      for (u64 s = address / 32; s <= (address + bytes - 1) / 32; ++s) {
        if (count && sectors[count - 1] == s) continue;
        sectors[count++] = s;
      }
    }
    if (count == 0) return;
    ++m.requests;
    std::sort(sectors, sectors + count);
    count = static_cast<int>(std::unique(sectors, sectors + count) - sectors);
    m.sectors += static_cast<u64>(count);
    for (int k = 0; k < count; ++k) {
      auto& page = counters.pages[sectors[k] / 128];
      const u64 bit = sectors[k] % 128;
      page[(write ? 2 : 0) + bit / 64] |= 1ull << (bit % 64);
    }
    return;
  }
  if (space != SpaceKind::shared) return;
  // Lanes of 4 bytes or less go together, of 8 in halves, of 16 in quarters; a bank delivers one word a wavefront.
  const u32 group = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
  ++m.shared_requests;
  for (u32 first = 0; first < kLanes; first += group) {
    u32 words[kLanes * 4];
    int count = 0;
    for (u32 i = first; i < first + group; ++i)
      if (mask >> i & 1)
        for (u32 b = 0; b < bytes; b += 4) words[count++] = static_cast<u32>((addresses[i] + b) / 4);
    if (count == 0) continue;
    std::sort(words, words + count);
    count = static_cast<int>(std::unique(words, words + count) - words);
    u32 banks[32] = {}, most = 0;
    for (int k = 0; k < count; ++k) most = std::max(most, ++banks[words[k] % 32]);
    m.wavefronts += most;
    m.conflicts += most - 1;
  }
}

std::unique_ptr<Counters> make_counters(const Launch& launch) {
  if (settings().profile.empty()) return nullptr;
  auto made = std::make_unique<Counters>();
  made->warps.resize(launch.program->code.size());
  made->lanes.resize(launch.program->code.size());
  made->memory.resize(launch.program->code.size());
  return made;
}

void add_counters(Launch& launch, const Counters& counters) {
  const std::lock_guard lock(mutex);
  const Program& program = *launch.program;
  KernelProfile& p = profiles()[program.name];
  if (p.launches.insert(launch.number).second) {
    close_footprint(p);
    p.blocks += launch.blocks;
    p.threads += launch.blocks * launch.threads;
    p.registers = program.registers;
    p.static_shared = program.static_shared;
    p.dynamic_shared = std::max(p.dynamic_shared, launch.dynamic_shared);
    p.local = program.local_bytes;
    p.block_threads = std::max(p.block_threads, launch.threads);
  }
  for (const auto& [page, bits] : counters.pages)
    for (int k = 0; k < 4; ++k) p.pages[page][k] |= bits[k];
  u32 last = ~0u;
  for (u32 i = 0; i < program.code.size(); ++i) {
    if (!counters.warps[i]) continue;
    const Source& source = program.sources[program.code[i].source];
    const auto& m = counters.memory[i];
    add(p.shared, m);
    if (m.requests) add(source.type == InstClass::store_global ? p.store : p.load, m);
    if (m.requests || m.shared_requests) {
      Line& line = p.lines[program.describe(program.code[i].source)];
      line.warps += counters.warps[i];
      add(line.memory, m);
    }
    // Several handlers of one instruction count once; labels and jumps that decoding added do not count.
    if (!source.counted || program.code[i].source == last) continue;
    last = program.code[i].source;
    p.warp_instructions += counters.warps[i];
    p.thread_instructions += counters.lanes[i];
    p.classes[static_cast<int>(source.type)] += counters.lanes[i];
    p.mma_flops += counters.warps[i] * source.mma_flops;
    if (source.type == InstClass::floating || source.type == InstClass::twice || source.type == InstClass::half) {
      const bool fused = source.text.find("fma") != std::string::npos || source.text.find("mad") != std::string::npos;
      const bool pair = source.text.find("f16x2") != std::string::npos;
      p.flops += counters.lanes[i] * (fused ? 2 : 1) * (pair ? 2 : 1);
    }
  }
}

}  // namespace tweedie::vgpu
