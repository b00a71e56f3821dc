// Splits within a warp, warps within a block, blocks within a worker, workers over the cores.
#include "exec/scheduler.h"

#include <algorithm>
#include <cstring>

#include "core/settings.h"
#include "exec/block.h"
#include "exec/handlers.h"
#include "exec/profile.h"
#include "exec/workers.h"

namespace tweedie::vgpu {
namespace {

constexpr int kSlice = 512;      // backward branches before others get their turn
constexpr int kShortSlice = 16;  // the same of a loop that may spin on a lock: its owner needs several turns to let go

bool same_place(const Split& a, const Split& b) {
  return a.at == b.at && a.local == b.local && a.wait == b.wait && a.barrier == b.barrier && a.stack == b.stack;
}

// Puts a split among the others, joined with one that stands at the same place.
void put_back(Warp& warp, Split&& split) {
  for (auto& other : warp.others) {
    if (!same_place(other, split)) continue;
    other.mask |= split.mask;
    other.members |= split.members;
    other.missing = (other.missing | split.missing) & ~other.mask;
    return;
  }
  warp.others.push_back(std::move(split));
}

// The members that each lane of a waiting split names.
const u32* members_at(Warp& warp, const Split& split) {
  return reg<u32>(warp, split.meeting == Meeting::warp_barrier ? split.at->a : split.at->list[0]);
}
// The lanes of a waiting split whose groups are complete, if `came` are there.
u32 complete_lanes(Warp& warp, const Split& split, u32 came) {
  if (split.meeting == Meeting::here) return (split.members & warp.live & ~came) == 0 ? split.mask : 0;
  const u32* members = members_at(warp, split);
  u32 complete = 0;
  for_lanes(split.mask, [&](u32 i) { complete |= static_cast<u32>((members[i] & warp.live & ~came) == 0) << i; });
  return complete;
}
// May the lanes of both take part in one exchange, or one barrier?
bool can_meet(const Split& a, const Split& b) {
  if (a.wait != Wait::sync || b.wait != Wait::sync || a.meeting != b.meeting || a.meeting == Meeting::here)
    return false;
  return operation_of(a.at) == operation_of(b.at) && a.at->flags == b.at->flags && a.at->kind == b.at->kind;
}

// Lets go the waiting lanes whose groups are complete. They may have come to different instructions of one kind: what
// counts is that each lane executes the operation with the same mask.
bool release_waiting(Warp& warp) {
  auto& splits = warp.others;
  bool any = false;
  for (std::size_t k = 0; k < splits.size(); ++k) {
    if (splits[k].wait != Wait::sync) continue;
    auto release = [&](std::size_t at, u32 lanes, bool past) {  // the others of that split go on waiting
      any = true;
      if (lanes != splits[at].mask) {
        splits.push_back(splits[at]);
        splits.back().mask &= ~lanes;
        splits[at].mask = lanes;
      }
      splits[at].wait = Wait::ready;
      splits[at].at += past;
    };
    u32 came = splits[k].mask;
    if (const u32 lanes = complete_lanes(warp, splits[k], came)) {
      release(k, lanes, false);
      continue;
    }
    std::vector<std::size_t> met = {k};
    for (std::size_t j = 0; j < splits.size(); ++j) {
      if (j == k || !can_meet(splits[k], splits[j])) continue;
      met.push_back(j);
      came |= splits[j].mask;
    }
    if (met.size() == 1 || !complete_lanes(warp, splits[k], came)) continue;
    std::vector<Attendance> parts;
    for (const std::size_t j : met) parts.push_back({splits[j].at, complete_lanes(warp, splits[j], came)});
    if (splits[k].meeting == Meeting::exchange)
      exchange_across(warp, parts);
    else
      ++warp.inner_time;
    for (std::size_t m = 0; m < met.size(); ++m)
      if (parts[m].lanes) release(met[m], parts[m].lanes, true);
  }
  return any;
}

bool has_ready(const Warp& warp) {
  for (const auto& split : warp.others)
    if (split.wait == Wait::ready) return true;
  return false;
}

// Takes the lowest ready split out of the others (after a slice: the next above the one that ran) and sets the limit.
bool pick(Warp& warp, const Inst* last) {
  int best = -1, above = -1;
  for (int k = 0; k < static_cast<int>(warp.others.size()); ++k) {
    const Split& split = warp.others[k];
    if (split.wait != Wait::ready) continue;
    if (best < 0 || split.at < warp.others[best].at) best = k;
    if (split.at > last && (above < 0 || split.at < warp.others[above].at)) above = k;
  }
  if (best < 0) return false;
  if (warp.rotate && above >= 0) best = above;
  warp.rotate = false;
  warp.current = std::move(warp.others[best]);
  warp.others[best] = std::move(warp.others.back());
  warp.others.pop_back();
  const auto& code = warp.block->launch->program->code;
  warp.limit = code.data() + code.size();
  for (const auto& split : warp.others)
    if (split.wait == Wait::ready && split.at > warp.current.at && split.at < warp.limit) warp.limit = split.at;
  return true;
}

template <bool Profiled>
void run_split(Warp& warp, const Inst* in) {
  [[maybe_unused]] const Inst* code = warp.block->launch->program->code.data();
  while (in) {
    if constexpr (Profiled) count_instruction(*warp.worker->counters, static_cast<u32>(in - code), warp.mask);
    in = in->fn(warp, in);
  }
}

// Runs a warp until it waits, ends, or has used its slice. False after a fault.
bool run_warp(Warp& warp) {
  const bool profiled = warp.worker->counters != nullptr;
  const Inst* last = warp.resume;
  if (warp.stop != Stop::slice) warp.budget = kSlice;
  polled() = false;
  for (;;) {
    if (!pick(warp, last) && !(release_waiting(warp) && pick(warp, last))) return true;
    warp.mask = warp.current.mask;
    warp.local = warp.current.local;
    warp.stop = Stop::none;
    const Inst* at = warp.current.at;
    if (profiled)
      run_split<true>(warp, at);
    else
      run_split<false>(warp, at);
    if (warp.stop == Stop::fault) return false;
    if (warp.mask != 0 && warp.stop != Stop::exited) {
      Split split = std::move(warp.current);
      split.mask = warp.mask;
      split.local = warp.local;
      split.at = warp.resume;
      if (warp.stop != Stop::blocked) split.wait = Wait::ready;
      put_back(warp, std::move(split));
    }
    warp.current = {};
    last = warp.resume;
    release_waiting(warp);
    if (warp.stop == Stop::slice) {
      warp.rotate = warp.others.size() > 1;
      warp.budget = polled() ? kShortSlice : kSlice;
      return true;
    }
  }
}

// Completes every barrier whose threads have come.
bool release_barriers(Block& block) {
  bool any = false;
  for (int id = 0; id < 16; ++id) {
    Barrier& state = block.barriers[id];
    u32 warps = 0, waiting_warps = 0;
    bool waited = false;
    for (const auto& warp : block.warps) {
      if (warp.finished()) continue;
      ++warps;
      u32 lanes = 0;
      for (const auto& split : warp.others)
        if (split.wait == Wait::barrier && split.barrier == id) lanes |= split.mask;
      waited |= lanes != 0;
      if (lanes == warp.live) ++waiting_warps;
    }
    if (!waited) continue;
    const u32 came = waiting_warps * kLanes + state.arrived;
    if (state.expected ? came < state.expected : waiting_warps + state.arrived / kLanes < warps) continue;
    any = true;
    u32 time = state.time;
    for (const auto& warp : block.warps)
      for (const auto& split : warp.others)
        if (split.wait == Wait::barrier && split.barrier == id) time = std::max(time, warp.time);
    ++time;
    for (auto& warp : block.warps) {
      for (auto& split : warp.others) {
        if (split.wait != Wait::barrier || split.barrier != id) continue;
        const Inst* in = split.at;
        if (split.missing && settings().sync)
          finding(
              warp, in, "synccheck", static_cast<u32>(__builtin_ctz(split.mask)),
              fmt::format("barrier {} in divergent code: lanes {:#010x} came to it, lanes {:#010x} of the warp were "
                          "elsewhere",
                          id, split.mask, split.missing));
        for (u32 i = 0; i < kLanes && in->kind >= 2; ++i) {
          if (!(split.mask >> i & 1)) continue;
          if (in->kind == 2) {
            reg<u32>(warp, in->d)[i] = state.reduce_count;
          } else {
            const bool yes = in->kind == 3 ? state.reduce_count == state.reduce_votes : state.reduce_count > 0;
            u32& p = predicate(warp, in->d);
            p = (p & ~(1u << i)) | static_cast<u32>(yes) << i;
          }
        }
        split.wait = Wait::ready;
        split.missing = 0;
        split.barrier = -1;
        ++split.at;
        warp.time = time;
        ++warp.inner_time;
      }
    }
    state.arrived = state.expected && came > state.expected ? came - state.expected : 0;
    state.reduce_count = state.reduce_votes = 0;
  }
  return any;
}

void report_deadlock(Block& block) {
  for (auto& warp : block.warps) {
    if (warp.finished() || warp.others.empty()) continue;
    const Split& split = warp.others.front();
    std::string text =
        split.wait == Wait::barrier
            ? fmt::format("barrier {} never completes: this warp waits and others ended or wait elsewhere",
                          split.barrier)
            : fmt::format("lanes {:#010x} never come to a warp-level operation whose mask names them",
                          split.members & warp.live & ~split.mask);
    fault(warp, split.at, FaultKind::deadlock, static_cast<u32>(__builtin_ctz(split.mask)), text);
    return;
  }
}

u64 next_turn(Block& block, u64 seed) {
  block.turns = (block.turns + seed + block.number) * 6364136223846793005ull + 1442695040888963407ull;
  return block.turns >> 40;
}

enum class Progress : u8 { done, sliced, failed };

// Runs a block until it ends or until all it does is use up its slices.
Progress run_block(Block& block) {
  const bool alone = block.launch->blocks <= 1;
  const u64 seed = settings().seed, count = block.warps.size();
  for (;;) {
    bool ran = false, unsliced = false;
    if (block.launch->failed.load(std::memory_order_relaxed)) return Progress::failed;
    const u64 turn = seed ? next_turn(block, seed) : 0;  // where the round begins, and which way it goes
    for (u64 k = 0; k < count; ++k) {
      Warp& warp = block.warps[(turn / 2 + (turn & 1 ? count - 1 - k : k)) % count];
      if (warp.finished() || (!has_ready(warp) && !release_waiting(warp))) continue;
      ran = true;
      if (!run_warp(warp)) return Progress::failed;
      if (warp.stop != Stop::slice) unsliced = true;
    }
    const bool released = release_barriers(block);
    bool finished = true;
    for (const auto& warp : block.warps) finished &= warp.finished();
    if (finished) return Progress::done;
    if (!ran && !released) {
      report_deadlock(block);
      return Progress::failed;
    }
    if (!alone && ran && !unsliced && !released) return Progress::sliced;
  }
}

u64 take_block(Launch& launch) {
  const u64 next = launch.next_block.fetch_add(1);
  if (next >= launch.blocks) return ~0ull;
  return launch.order.empty() ? next : launch.order[next];
}

}  // namespace

bool& polled() {
  static thread_local bool flag = false;
  return flag;
}

// A worker keeps several blocks when they spin: each slice may bring another one in, so that a block that waits for a
// later one (grid synchronisation, look-back) always gets what it waits for.
void run_worker(Launch& launch, Worker& worker) {
  std::vector<std::unique_ptr<Block>> resident;
  bool more = true;
  auto admit = [&] {
    const u64 number = take_block(launch);
    if (number == ~0ull) {
      more = false;
      return;
    }
    resident.push_back(make_block(launch, worker));
    start_block(*resident.back(), number);
  };
  while (!launch.failed) {
    if (resident.empty() && more) admit();
    if (resident.empty()) break;
    bool all_sliced = true;
    for (std::size_t k = 0; k < resident.size();) {
      const Progress progress = run_block(*resident[k]);
      if (progress == Progress::failed) break;
      if (progress == Progress::sliced) {
        ++k;
        continue;
      }
      all_sliced = false;
      worker.spare.push_back(std::move(resident[k]));
      resident.erase(resident.begin() + static_cast<std::ptrdiff_t>(k));
    }
    if (all_sliced && more) admit();
  }
  for (auto& block : resident) worker.spare.push_back(std::move(block));
}

int run_launch(Launch& launch) {
  if (const u64 seed = settings().seed) {
    launch.order.resize(launch.blocks);
    for (u64 i = 0; i < launch.blocks; ++i) launch.order[i] = static_cast<u32>(i);
    u64 state = seed + launch.number * 0x9e3779b97f4a7c15ull;
    for (u64 i = launch.blocks; i > 1; --i) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      std::swap(launch.order[i - 1], launch.order[(state >> 33) % i]);
    }
  }
  run_on_workers(launch);
  return launch.error;
}

}  // namespace tweedie::vgpu
