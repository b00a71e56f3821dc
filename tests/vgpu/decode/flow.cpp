#include "decode/flow.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <set>

namespace tweedie::vgpu {
namespace {

bool ends_block(const ptx::Instruction& in) {
  const auto& op = in.parts[0];
  return op == "bra" || op == "brx" || op == "ret" || op == "exit" || op == "trap";
}
bool falls_through(const ptx::Instruction& in) {
  return in.guard >= 0 || !ends_block(in);
}

int find_label(const ptx::Function& function, const std::string& label) {
  const auto found = function.labels.find(label);
  if (found == function.labels.end()) throw std::runtime_error(fmt::format("{}: no label {}", function.name, label));
  return found->second;
}

std::vector<int> targets_of(const ptx::Function& function, const ptx::Instruction& in) {
  std::vector<int> result;
  if (in.parts[0] == "bra") result.push_back(find_label(function, in.operands.at(0).name));
  if (in.parts[0] == "brx")
    for (const auto& label : function.branch_targets.at(in.operands.at(1).name))
      result.push_back(find_label(function, label));
  return result;
}

void make_blocks(const ptx::Function& function, Flow& flow) {
  const int n = static_cast<int>(function.instructions.size());
  std::set<int> leaders = {0};
  for (int i = 0; i < n; ++i) {
    const auto& in = function.instructions[i];
    if (!ends_block(in)) continue;
    leaders.insert(i + 1);
    for (const int target : targets_of(function, in)) leaders.insert(target);
  }
  flow.block_of.assign(n + 1, -1);
  for (auto at = leaders.begin(); at != leaders.end() && *at < n; ++at) {
    const auto after = std::next(at);
    BasicBlock block;
    block.begin = *at;
    block.end = after == leaders.end() ? n : std::min(*after, n);
    for (int i = block.begin; i < block.end; ++i) flow.block_of[i] = static_cast<int>(flow.blocks.size());
    flow.blocks.push_back(std::move(block));
  }
  for (int b = 0; b < static_cast<int>(flow.blocks.size()); ++b) {
    auto& block = flow.blocks[b];
    const auto& last = function.instructions[block.end - 1];
    auto link = [&](int instruction) {
      if (instruction >= n) return;
      const int to = flow.block_of[instruction];
      if (std::find(block.successors.begin(), block.successors.end(), to) == block.successors.end()) {
        block.successors.push_back(to);
        flow.blocks[to].predecessors.push_back(b);
      }
    };
    for (const int target : targets_of(function, last)) link(target);
    if (falls_through(last)) link(block.end);
  }
}

struct Loops {
  std::vector<int> parent;     // of each loop
  std::vector<int> innermost;  // of each block; -1 outside of loops
  std::vector<std::set<int>> members;
};

std::vector<int> reverse_postorder(const Flow& flow) {
  std::vector<int> order;
  std::vector<char> seen(flow.blocks.size(), 0);
  std::vector<std::pair<int, std::size_t>> stack;
  if (flow.blocks.empty()) return order;
  stack.emplace_back(0, 0);
  seen[0] = 1;
  while (!stack.empty()) {
    auto& [block, next] = stack.back();
    if (next < flow.blocks[block].successors.size()) {
      const int to = flow.blocks[block].successors[next++];
      if (!seen[to]) {
        seen[to] = 1;
        stack.emplace_back(to, 0);
      }
    } else {
      order.push_back(block);
      stack.pop_back();
    }
  }
  std::reverse(order.begin(), order.end());
  return order;
}

Loops find_loops(const Flow& flow, const std::vector<int>& rpo) {
  const int n = static_cast<int>(flow.blocks.size());
  std::vector<int> position(n, -1), dominator(n, -1);
  for (int i = 0; i < static_cast<int>(rpo.size()); ++i) position[rpo[i]] = i;
  dominator[rpo[0]] = rpo[0];
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t k = 1; k < rpo.size(); ++k) {
      int best = -1;
      for (const int from : flow.blocks[rpo[k]].predecessors) {
        if (position[from] < 0 || dominator[from] < 0) continue;
        if (best < 0) {
          best = from;
          continue;
        }
        int a = best, b = from;
        while (a != b) {
          while (position[a] > position[b]) a = dominator[a];
          while (position[b] > position[a]) b = dominator[b];
        }
        best = a;
      }
      if (best != dominator[rpo[k]]) {
        dominator[rpo[k]] = best;
        changed = true;
      }
    }
  }
  auto dominates = [&](int a, int b) {
    while (position[b] > position[a]) b = dominator[b];
    return a == b;
  };
  std::map<int, std::set<int>> by_header;
  for (const int block : rpo)
    for (const int to : flow.blocks[block].successors) {
      if (!dominates(to, block)) continue;
      auto& members = by_header[to];
      members.insert(to);
      std::vector<int> work = {block};
      while (!work.empty()) {
        const int b = work.back();
        work.pop_back();
        if (!members.insert(b).second) continue;
        for (const int from : flow.blocks[b].predecessors)
          if (position[from] >= 0) work.push_back(from);
      }
    }
  Loops loops;
  std::vector<std::pair<int, std::set<int>>> sorted(by_header.begin(), by_header.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](auto& a, auto& b) { return a.second.size() > b.second.size(); });
  loops.innermost.assign(n, -1);
  for (auto& [header, members] : sorted) {
    const int number = static_cast<int>(loops.members.size());
    loops.parent.push_back(loops.innermost[header]);
    for (const int block : members) loops.innermost[block] = number;
    loops.members.push_back(std::move(members));
  }
  return loops;
}

// Orders what lies directly inside a region: its blocks, and its inner loops as wholes.
void order_region(const Flow& flow, const Loops& loops, const std::vector<char>& reachable, int region,
                  std::vector<int>& order) {
  auto node_of = [&](int block) {  // a block itself, or n + the inner loop that holds it; -1 outside
    int loop = loops.innermost[block];
    if (loop == region) return block;
    while (loop >= 0 && loops.parent[loop] != region) loop = loops.parent[loop];
    return loop < 0 ? -1 : static_cast<int>(flow.blocks.size()) + loop;
  };
  std::map<int, std::set<int>> after;
  std::map<int, int> waiting, first;
  auto visit = [&](int block) {
    if (!reachable[block]) return;
    const int node = node_of(block);
    if (node < 0) return;
    waiting.emplace(node, 0);
    const auto known = first.emplace(node, block);
    known.first->second = std::min(known.first->second, block);
    for (const int to : flow.blocks[block].successors) {
      const int other = node_of(to);
      if (other >= 0 && other != node) after[node].insert(other);
    }
  };
  if (region < 0)
    for (int b = 0; b < static_cast<int>(flow.blocks.size()); ++b) visit(b);
  else
    for (const int b : loops.members[region]) visit(b);
  // The header of this region is entered first; edges back to it do not count.
  int entry = -1;
  if (region < 0) {
    entry = node_of(0);
  } else {
    for (const int b : loops.members[region])
      for (const int from : flow.blocks[b].predecessors)
        if (!loops.members[region].count(from)) entry = node_of(b);
    if (entry < 0 && !waiting.empty()) entry = node_of(*loops.members[region].begin());
  }
  for (auto& [node, list] : after) list.erase(entry);
  for (const auto& [node, list] : after)
    for (const int to : list) ++waiting[to];
  std::set<std::pair<int, int>> ready;  // earliest in the text first
  auto push = [&](int node) { ready.insert({first[node], node}); };
  for (const auto& [node, count] : waiting)
    if (count == 0) push(node);
  std::set<int> done;
  while (done.size() < waiting.size()) {
    if (ready.empty()) {  // an irreducible cycle: break it where the text begins it
      int best = -1;
      for (const auto& [node, count] : waiting)
        if (!done.count(node) && (best < 0 || first[node] < first[best])) best = node;
      push(best);
    }
    const int node = done.empty() && waiting.count(entry) ? entry : ready.begin()->second;
    ready.erase({first[node], node});
    if (!done.insert(node).second) continue;
    if (node >= static_cast<int>(flow.blocks.size()))
      order_region(flow, loops, reachable, node - static_cast<int>(flow.blocks.size()), order);
    else
      order.push_back(node);
    for (const int to : after[node])
      if (--waiting[to] == 0 && !done.count(to)) push(to);
  }
}

}  // namespace

Flow analyse_flow(const ptx::Function& function) {
  Flow flow;
  make_blocks(function, flow);
  const auto rpo = reverse_postorder(flow);
  if (rpo.empty()) return flow;
  std::vector<char> reachable(flow.blocks.size(), 0);
  for (const int b : rpo) reachable[b] = 1;
  const Loops loops = find_loops(flow, rpo);
  order_region(flow, loops, reachable, -1, flow.order);
  return flow;
}

void registers_of(const ptx::Instruction& in, std::vector<int>& reads, std::vector<int>& writes) {
  reads.clear();
  writes.clear();
  static const std::set<std::string> no_result = {
      "st",         "red",          "bar",       "barrier",       "bra",   "brx",      "membar",
      "fence",      "cp",           "exit",      "ret",           "trap",  "prefetch", "prefetchu",
      "nanosleep",  "stmatrix",     "discard",   "applypriority", "brkpt", "pmevent",  "griddepcontrol",
      "setmaxnreg", "stackrestore", "unreadable"};
  const auto& op = in.parts[0];
  bool result = !no_result.count(op);
  if (op == "bar" || op == "barrier") result = in.has("red");
  if (op == "wmma") result = !in.has("store");
  if (op == "mbarrier") {
    static const std::set<std::string> silent = {"init", "inval", "expect_tx", "complete_tx"};
    result = !silent.count(in.parts.at(1));
  }
  std::function<void(const ptx::Operand&, bool)> visit = [&](const ptx::Operand& operand, bool write) {
    if (operand.kind == ptx::OperandKind::address) write = false;
    if (operand.reg >= 0) (write ? writes : reads).push_back(operand.reg);
    if (operand.second >= 0) writes.push_back(operand.second);
    for (const auto& item : operand.items) visit(item, write);
  };
  for (std::size_t k = 0; k < in.operands.size(); ++k) visit(in.operands[k], result && k == 0);
  if (in.guard >= 0) {
    reads.push_back(in.guard);
    reads.insert(reads.end(), writes.begin(), writes.end());
  }
  // lop3 with a predicate result, mov of part of a register and the carry chain are complete writes as well.
}

Slots allocate_slots(const ptx::Function& function, const Flow& flow) {
  const std::size_t registers = function.registers.size(), words = (registers + 63) / 64;
  const std::size_t blocks = flow.blocks.size();
  using Bits = std::vector<u64>;
  std::vector<Bits> use(blocks, Bits(words)), define(blocks, Bits(words)), in(blocks, Bits(words)),
      out(blocks, Bits(words));
  auto test = [](const Bits& bits, int r) { return bits[r / 64] >> (r % 64) & 1; };
  auto set = [](Bits& bits, int r) { bits[r / 64] |= 1ull << (r % 64); };
  std::vector<int> reads, writes;
  for (const int b : flow.order)
    for (int i = flow.blocks[b].begin; i < flow.blocks[b].end; ++i) {
      registers_of(function.instructions[i], reads, writes);
      for (const int r : reads)
        if (!test(define[b], r)) set(use[b], r);
      for (const int r : writes) set(define[b], r);
    }
  for (bool changed = true; changed;) {
    changed = false;
    for (auto at = flow.order.rbegin(); at != flow.order.rend(); ++at) {
      const int b = *at;
      for (std::size_t w = 0; w < words; ++w) {
        u64 live = 0;
        for (const int to : flow.blocks[b].successors) live |= in[to][w];
        out[b][w] = live;
        const u64 next = use[b][w] | (live & ~define[b][w]);
        if (next != in[b][w]) {
          in[b][w] = next;
          changed = true;
        }
      }
    }
  }
  // One interval a register, over positions in the order of the code: reads at 2k, writes at 2k + 1.
  std::vector<int> begin(registers, -1), end(registers, -1);
  auto touch = [&](int r, int position) {
    if (begin[r] < 0 || position < begin[r]) begin[r] = position;
    end[r] = std::max(end[r], position);
  };
  int position = 0;
  for (const int b : flow.order) {
    const int first = position;
    for (int i = flow.blocks[b].begin; i < flow.blocks[b].end; ++i, position += 2) {
      registers_of(function.instructions[i], reads, writes);
      for (const int r : reads) touch(r, position);
      for (const int r : writes) touch(r, position + 1);
    }
    for (std::size_t w = 0; w < words; ++w) {
      for (u64 rest = in[b][w]; rest; rest &= rest - 1) touch(static_cast<int>(w * 64) + __builtin_ctzll(rest), first);
      for (u64 rest = out[b][w]; rest; rest &= rest - 1)
        touch(static_cast<int>(w * 64) + __builtin_ctzll(rest), position);
    }
  }
  std::vector<int> by_begin;
  for (std::size_t r = 0; r < registers; ++r)
    if (begin[r] >= 0) by_begin.push_back(static_cast<int>(r));
  std::sort(by_begin.begin(), by_begin.end(), [&](int a, int b) { return begin[a] < begin[b]; });
  Slots slots;
  slots.slot.assign(registers, -1);
  std::priority_queue<std::pair<int, int>, std::vector<std::pair<int, int>>, std::greater<>>
      busy[kClasses];  // end, slot
  std::vector<int> idle[kClasses];
  for (const int r : by_begin) {
    const int type = class_of(function.registers[r].width);
    while (!busy[type].empty() && busy[type].top().first < begin[r]) {
      idle[type].push_back(busy[type].top().second);
      busy[type].pop();
    }
    int slot;
    if (idle[type].empty()) {
      slot = slots.count[type]++;
    } else {
      slot = idle[type].back();
      idle[type].pop_back();
    }
    slots.slot[r] = slot;
    busy[type].push({end[r], slot});
  }
  return slots;
}

}  // namespace tweedie::vgpu
