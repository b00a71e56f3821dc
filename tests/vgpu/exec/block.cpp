#include "exec/block.h"

#include <algorithm>
#include <cstring>

#include "core/settings.h"

namespace tweedie::vgpu {
namespace {

void fill(u8* regs, u32 offset, u8 width, u64 value) {
  u8* to = regs + offset;
  if (width == 1) {
    const u32 mask = value ? kFull : 0;
    std::memcpy(to, &mask, 4);
  }
  for (int i = 0; i < kLanes && width > 1; ++i) std::memcpy(to + i * (width / 8), &value, width / 8);
}
template <class F>
void fill_lanes(u8* regs, const Special& special, F f) {
  for (u32 i = 0; i < kLanes; ++i) {
    const u64 value = f(i);
    std::memcpy(regs + special.offset + i * (special.width / 8), &value, special.width / 8);
  }
}

void fill_special(const Block& block, const Warp& warp, const Special& special, bool per_block) {
  const Launch& l = *block.launch;
  const u32 base = warp.index * kLanes;
  auto same = [&](u64 value) { fill(warp.regs, special.offset, special.width, value); };
  switch (special.kind) {
    case SpecialKind::ctaid_x:
      return same(block.index[0]);
    case SpecialKind::ctaid_y:
      return same(block.index[1]);
    case SpecialKind::ctaid_z:
      return same(block.index[2]);
    case SpecialKind::smid:
      return same(block.number % l.multiprocessors);
    default:
      break;
  }
  if (per_block) return;
  switch (special.kind) {
    case SpecialKind::tid_x:
      return fill_lanes(warp.regs, special, [&](u32 i) { return (base + i) % l.block[0]; });
    case SpecialKind::tid_y:
      return fill_lanes(warp.regs, special, [&](u32 i) { return (base + i) / l.block[0] % l.block[1]; });
    case SpecialKind::tid_z:
      return fill_lanes(warp.regs, special, [&](u32 i) { return (base + i) / l.block[0] / l.block[1]; });
    case SpecialKind::ntid_x:
      return same(l.block[0]);
    case SpecialKind::ntid_y:
      return same(l.block[1]);
    case SpecialKind::ntid_z:
      return same(l.block[2]);
    case SpecialKind::nctaid_x:
      return same(l.grid[0]);
    case SpecialKind::nctaid_y:
      return same(l.grid[1]);
    case SpecialKind::nctaid_z:
      return same(l.grid[2]);
    case SpecialKind::laneid:
      return fill_lanes(warp.regs, special, [](u32 i) { return i; });
    case SpecialKind::warpid:
      return same(warp.index);
    case SpecialKind::nwarpid:
      return same(64);
    case SpecialKind::nsmid:
      return same(l.multiprocessors);
    case SpecialKind::gridid:
      return same(l.number);
    case SpecialKind::lanemask_eq:
      return fill_lanes(warp.regs, special, [](u32 i) { return 1ull << i; });
    case SpecialKind::lanemask_le:
      return fill_lanes(warp.regs, special, [](u32 i) { return (2ull << i) - 1; });
    case SpecialKind::lanemask_lt:
      return fill_lanes(warp.regs, special, [](u32 i) { return (1ull << i) - 1; });
    case SpecialKind::lanemask_ge:
      return fill_lanes(warp.regs, special, [](u32 i) { return ~((1ull << i) - 1) & kFull; });
    case SpecialKind::lanemask_gt:
      return fill_lanes(warp.regs, special, [](u32 i) { return ~((2ull << i) - 1) & kFull; });
    case SpecialKind::dynamic_smem:
      return same(l.dynamic_shared);
    case SpecialKind::total_smem:
      return same(l.shared_bytes - l.program->reserved_shared);
    case SpecialKind::reserved_smem:
      return same(l.program->reserved_shared);
    case SpecialKind::envreg1:
      return same(l.workspace >> 32);
    case SpecialKind::envreg2:
      return same(l.workspace & 0xffffffffu);
    case SpecialKind::one:
      return same(1);
    default:
      return same(0);
  }
}

}  // namespace

std::unique_ptr<Block> make_block(Launch& launch, Worker& worker) {
  if (!worker.spare.empty()) {
    auto block = std::move(worker.spare.back());
    worker.spare.pop_back();
    return block;
  }
  auto block = std::make_unique<Block>();
  const Program& program = *launch.program;
  block->launch = &launch;
  block->worker = &worker;
  block->shared_bytes = launch.shared_bytes;
  const u64 registers = (program.register_bytes + 63) / 64 * 64, shared = (launch.shared_bytes + 63) / 64 * 64 + 4096,
            stride = std::max(program.local_bytes, (launch.stack_bytes + 15) / 16 * 16),
            local = (stride * kLanes + 63) / 64 * 64;
  block->storage.reset(new u8[64 + (registers + local) * launch.warps + shared]);
  u8* at = reinterpret_cast<u8*>((reinterpret_cast<u64>(block->storage.get()) + 63) & ~63ull);
  block->shared = at;
  at += shared;
  block->warps.resize(launch.warps);
  const auto& s = settings();
  for (u32 w = 0; w < launch.warps; ++w) {
    Warp& warp = block->warps[w];
    warp.index = w;
    warp.block = block.get();
    warp.worker = &worker;
    warp.regs = at;
    at += registers;
    warp.local_memory = at;
    at += local;
    warp.local_stride = static_cast<u32>(stride);
    warp.observe = s.initialised || s.race || s.sync || worker.counters != nullptr;
    const u32 lanes = std::min<u32>(kLanes, launch.threads - w * kLanes);
    warp.initial = lanes == kLanes ? kFull : (1u << lanes) - 1;
    if (stride == program.local_bytes) std::memset(warp.local_memory, 0xff, local);
    std::memset(warp.regs, 0xff, registers);  // a register that nothing wrote holds a NaN
    for (const auto& constant : program.constants) fill(warp.regs, constant.offset, constant.width, constant.value);
    for (const auto& special : program.specials) fill_special(*block, warp, special, false);
  }
  if (s.race) block->shared_cells.resize(launch.shared_bytes);
  if (s.initialised) block->shared_written.resize(launch.shared_bytes);
  return block;
}

void start_block(Block& block, u64 number) {
  const Launch& launch = *block.launch;
  const Program& program = *launch.program;
  block.number = number;
  block.index[0] = static_cast<u32>(number % launch.grid[0]);
  block.index[1] = static_cast<u32>(number / launch.grid[0] % launch.grid[1]);
  block.index[2] = static_cast<u32>(number / launch.grid[0] / launch.grid[1]);
  block.time = 0;
  block.turns = 0;
  block.bulk.clear();
  block.object_times.clear();
  std::memset(block.shared, 0xff, block.shared_bytes);    // NaN in every float type
  std::memset(block.shared, 0, program.reserved_shared);  // where the system keeps its own
  std::fill(block.shared_written.begin(), block.shared_written.end(), 0);
  if (!block.shared_written.empty()) std::fill_n(block.shared_written.begin(), program.reserved_shared, 1);
  std::fill(block.shared_cells.begin(), block.shared_cells.end(), RaceCell{});
  for (auto& barrier : block.barriers) barrier = {};
  for (auto& warp : block.warps) {
    for (const auto& special : program.specials) fill_special(block, warp, special, true);
    warp.live = warp.initial;
    warp.others.clear();
    warp.groups.clear();
    warp.open_group = {};
    warp.time = warp.inner_time = warp.seen_time = warp.fence_time = 0;
    warp.rotate = false;
    if (program.allocates) warp.tops.assign(kLanes, warp.local_stride);
    Split split;
    split.mask = warp.initial;
    split.at = program.code.data() + program.functions[0].start;
    warp.others.push_back(std::move(split));
  }
}

}  // namespace tweedie::vgpu
