// Branches, calls, barriers, warp-level exchanges and instructions without effect here.
#include "decode/decoder.h"

namespace tweedie::vgpu {

bool Decoder::control(const ptx::Instruction& in) {
  const std::string& op = in.parts[0];
  const auto& operands = in.operands;
  Inst inst;
  auto guard = [&] {
    if (in.guard < 0) return;
    inst.guarded = 1;
    inst.guard = register_offset(in.guard);
    inst.negated = in.guard_negated;
  };
  auto emit_control = [&](const std::string& key) {
    inst.fn = find_handler(key);
    inst.source = source_;
    program_->code.push_back(inst);
  };
  if (op == "bra") {
    guard();
    const int block = current_->flow.block_of[current_->function->labels.at(operands.at(0).name)];
    fixes_.push_back({static_cast<u32>(program_->code.size()), current_index_, block, nullptr});
    emit_control("bra");
    return true;
  }
  if (op == "brx") {
    inst.a = source(operands.at(0), 32);
    guard();
    const auto& targets = current_->function->branch_targets.at(operands.at(1).name);
    auto table = std::make_unique<u32[]>(targets.size());
    for (std::size_t k = 0; k < targets.size(); ++k) {
      const int block = current_->flow.block_of[current_->function->labels.at(targets[k])];
      fixes_.push_back({0, current_index_, block, table.get() + k});
    }
    inst.list = table.get();
    inst.extra = static_cast<u32>(targets.size());
    program_->lists.push_back(std::move(table));
    emit_control("brx");
    return true;
  }
  if (op == "ret" || op == "exit" || op == "trap" || op == "brkpt") {
    guard();
    emit_control(op == "brkpt" ? "nop" : op);
    return true;
  }
  if (op == "call") {
    call(in);
    return true;
  }
  if (op == "bar" || op == "barrier") {
    if (in.has("cluster")) throw Unsupported("cluster barriers");
    if (in.has("warp")) {
      inst.a = source(operands.at(0), 32);
      emit("bar.warp", inst);
      return true;
    }
    const bool reduce = in.has("red");
    const std::size_t first = reduce ? 1 : 0;
    inst.kind = in.has("arrive") ? 1 : in.has("popc") ? 2 : reduce && in.has("and") ? 3 : reduce ? 4 : 0;
    inst.flags = op == "bar" || in.has("aligned") ? 1 : 0;
    inst.a = source(operands.at(first), 32);
    std::size_t rest = operands.size() - first - 1;
    if (reduce) --rest;
    if (rest) {
      inst.count = 2;
      inst.b = source(operands.at(first + 1), 32);
    }
    if (reduce) {
      const auto& p = operands.back();
      inst.c = register_offset(p.reg);
      if (p.negated) inst.flags |= 2;
      inst.d = destination(operands[0], inst.kind == 2 ? 32 : 1);
    }
    emit("bar", inst);
    return true;
  }
  if (op == "alloca" || op == "stacksave" || op == "stackrestore") {
    inst.extra = static_cast<u32>(current_index_);
    if (op == "alloca") inst.imm = operands.size() > 2 ? static_cast<i64>(operands[2].value) : 8;
    if (op != "stacksave") inst.a = source(operands.at(op == "alloca" ? 1 : 0), 64);
    if (op != "stackrestore") inst.d = destination(operands[0], 64);
    emit(op, inst);
    if (op != "stackrestore") settle(operands[0], 64, inst.d);
    return true;
  }
  if (op == "nanosleep") {
    emit("sleep", inst);
    return true;
  }
  if (op == "membar" || op == "fence") {
    for (const auto& part : in.parts)
      if (part.rfind("tensormap", 0) == 0) throw Unsupported("fences of tensor maps");
    emit("fence", inst);
    return true;
  }
  static const std::set<std::string> idle = {"prefetch", "prefetchu",      "discard",   "applypriority",
                                             "pmevent",  "griddepcontrol", "setmaxnreg"};
  if (idle.count(op)) {
    emit("nop", inst);
    return true;
  }
  if (op == "createpolicy") {
    inst.a = constant(64, 0);
    inst.d = destination(operands.at(0), 64);
    emit("mov.b64", inst);
    return true;
  }
  return false;
}

void Decoder::call(const ptx::Instruction& in) {
  std::size_t at = in.operands[0].kind == ptx::OperandKind::list ? 1 : 0;
  const auto& target = in.operands.at(at);
  Inst inst;
  inst.extra = static_cast<u32>(current_index_);
  auto push = [&](const std::string& key) {
    inst.fn = find_handler(key);
    inst.source = source_;
    if (in.guard >= 0) {
      inst.guarded = 1;
      inst.guard = register_offset(in.guard);
      inst.negated = in.guard_negated;
    }
    program_->code.push_back(inst);
    Inst label;  // where the callers' splits meet again
    label.fn = find_handler("label");
    program_->code.push_back(label);
  };
  if (target.kind == ptx::OperandKind::reg) {
    inst.a = source(target, 64);
    push("call.pointer");
    return;
  }
  if (const auto found = index_of_.find(target.name); found != index_of_.end()) {
    inst.imm = found->second;
    push("call");
    return;
  }
  if (!has_handler("call." + target.name)) throw Unsupported("function " + target.name);
  emit("call." + target.name, inst);
}

bool Decoder::warp(const ptx::Instruction& in) {
  const std::string& op = in.parts[0];
  const auto& operands = in.operands;
  Inst inst;
  if (op == "activemask") {
    inst.d = destination(operands.at(0), 32);
    emit("activemask", inst);
    return true;
  }
  auto pair = [&](const ptx::Operand& to, int width) {
    inst.d = to.kind == ptx::OperandKind::reg ? destination(to, width) : kFull;
    inst.extra = to.second >= 0 ? register_offset(to.second) : kFull;
  };
  // Without .sync (older than Volta) the members are whoever is there.
  auto members = [&](std::size_t at) {
    if (!in.has("sync")) throw Unsupported("warp operation without .sync");
    inst.list = list({source(operands.at(at), 32)});
  };
  if (op == "shfl") {
    inst.flags = in.has("up") ? 0 : in.has("down") ? 1 : in.has("bfly") ? 2 : 3;
    inst.a = source(operands.at(1), 32);
    inst.b = source(operands.at(2), 32);
    inst.c = source(operands.at(3), 32);
    members(4);
    pair(operands[0], 32);
    emit("shfl", inst);
    return true;
  }
  if (op == "vote") {
    inst.kind = in.has("all") ? 0 : in.has("any") ? 1 : in.has("uni") ? 2 : 3;
    inst.a = predicate_source(operands.at(1));
    members(2);
    inst.d = destination(operands[0], inst.kind == 3 ? 32 : 1);
    emit("vote", inst);
    return true;
  }
  if (op == "match") {
    const bool wide = in.parts.back() == "b64";
    inst.a = source(operands.at(1), wide ? 64 : 32);
    members(2);
    pair(operands[0], 32);
    emit(fmt::format("match.{}.{}", in.has("all") ? "all" : "any", wide ? "b64" : "b32"), inst);
    return true;
  }
  if (op == "redux") {
    const bool is_signed = in.parts.back() == "s32";
    inst.kind = in.has("add")   ? 0
                : in.has("min") ? (is_signed ? 3 : 1)
                : in.has("max") ? (is_signed ? 4 : 2)
                : in.has("and") ? 5
                : in.has("or")  ? 6
                                : 7;
    if (in.parts.back()[0] == 'f') throw Unsupported("redux of floats");
    inst.a = source(operands.at(1), 32);
    members(2);
    inst.d = destination(operands[0], 32);
    emit("redux", inst);
    return true;
  }
  if (op == "elect") {
    members(1);
    pair(operands[0], 32);
    emit("elect", inst);
    return true;
  }
  return false;
}

}  // namespace tweedie::vgpu
