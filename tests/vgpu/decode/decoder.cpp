#include "decode/decoder.h"

#include <algorithm>
#include <array>

namespace tweedie::vgpu {

std::unique_ptr<Program> decode(const ptx::Module& module, const ptx::Function& kernel, const AddressOf& address_of) {
  return Decoder(module, kernel, address_of).run();
}

Decoder::Decoder(const ptx::Module& module, const ptx::Function& kernel, const AddressOf& address_of)
    : module_(module), kernel_(kernel), address_of_(address_of), program_(std::make_unique<Program>()) {}

std::unique_ptr<Program> Decoder::run() {
  program_->name = kernel_.name;
  program_->files = module_.files;
  program_->max_threads = kernel_.max_threads ? kernel_.max_threads : 1024;
  program_->required_threads = kernel_.required_threads;
  program_->parameter_bytes = kernel_.parameter_bytes;
  collect();
  lay_out_shared();
  lay_out_frames();
  program_->sources.push_back({"", kernel_.name, 0, 0, InstClass::other, 0, false});
  for (int index = static_cast<int>(bodies_.size()) - 1; index >= 0; --index) emit_body(index);
  finish_targets();
  program_->register_bytes = next_offset_;
  return std::move(program_);
}

// Functions in the order of discovery; a callee found later is laid lower in the code. Depth-first keeps callees behind
// their callers in this list.
void Decoder::collect() {
  auto mentions_function = [&](const ptx::Operand& operand, auto& self, std::set<std::string>& out) -> void {
    if (operand.kind == ptx::OperandKind::symbol)
      if (const auto found = module_.functions.find(operand.name);
          found != module_.functions.end() && found->second->defined)
        out.insert(operand.name);
    for (const auto& item : operand.items) self(item, self, out);
  };
  std::set<std::string> taken;  // functions whose address something stores
  for (const auto& [name, variable] : module_.variables)
    for (const auto& address : variable.addresses)
      if (const auto found = module_.functions.find(address.symbol);
          found != module_.functions.end() && found->second->defined)
        taken.insert(address.symbol);
  for (const auto& [name, function] : module_.functions)  // another kernel may have stored what this one calls
    for (const auto& in : function->instructions)
      if (in.parts[0] != "call")
        for (const auto& operand : in.operands) mentions_function(operand, mentions_function, taken);
  std::map<std::string, std::set<std::string>> callees;
  std::set<std::string> pointers;
  std::vector<const ptx::Function*> work = {&kernel_};
  std::set<std::string> reached = {kernel_.name};
  bool any_pointer = false;
  while (!work.empty()) {
    const ptx::Function* function = work.back();
    work.pop_back();
    for (const auto& in : function->instructions) {
      std::set<std::string> found;
      for (const auto& operand : in.operands) mentions_function(operand, mentions_function, found);
      if (in.parts[0] == "call") {
        const std::size_t at = in.operands[0].kind == ptx::OperandKind::list ? 1 : 0;
        if (in.operands.at(at).kind == ptx::OperandKind::reg) {
          pointers.insert(function->name);
          any_pointer = true;
        }
      }
      callees[function->name].insert(found.begin(), found.end());
      for (const auto& name : found)
        if (reached.insert(name).second) work.push_back(module_.functions.at(name).get());
    }
    if (any_pointer)
      for (const auto& name : taken)
        if (reached.insert(name).second) work.push_back(module_.functions.at(name).get());
  }
  for (const auto& name : pointers) callees[name].insert(taken.begin(), taken.end());
  // Callers before callees, cycles apart.
  std::vector<std::string> order;
  std::set<std::string> seen;
  auto visit = [&](const std::string& name, auto& self) -> void {
    if (!seen.insert(name).second) return;
    for (const auto& callee : callees[name]) self(callee, self);
    order.push_back(name);
  };
  visit(kernel_.name, visit);
  std::reverse(order.begin(), order.end());
  for (const auto& name : order) {
    index_of_[name] = static_cast<int>(bodies_.size());
    Body body;
    body.function = module_.functions.at(name).get();
    body.callees = callees[name];
    body.calls_pointers = pointers.count(name) > 0;
    bodies_.push_back(std::move(body));
  }
  // Functions that can reach themselves share a cycle number (conservatively: one number for them all).
  program_->functions.resize(bodies_.size());
  program_->by_number.resize(module_.functions.size() + 1);
  for (std::size_t f = 1; f < bodies_.size(); ++f)
    program_->by_number[bodies_[f].function->number] = static_cast<u32>(f);
  for (std::size_t f = 0; f < bodies_.size(); ++f) {
    std::set<std::string> reach;
    std::vector<std::string> todo(bodies_[f].callees.begin(), bodies_[f].callees.end());
    while (!todo.empty()) {
      const std::string name = todo.back();
      todo.pop_back();
      if (!reach.insert(name).second) continue;
      todo.insert(todo.end(), callees[name].begin(), callees[name].end());
    }
    program_->functions[f].name = bodies_[f].function->name;
    if (reach.count(bodies_[f].function->name)) {
      program_->functions[f].cycle = 1;
      program_->recursive = true;
    }
  }
}

void Decoder::lay_out_shared() {
  std::set<std::string> names;
  auto visit = [&](const ptx::Operand& operand, auto& self) -> void {
    if (!operand.name.empty()) names.insert(operand.name);
    for (const auto& item : operand.items) self(item, self);
  };
  std::vector<const ptx::Variable*> fixed, dynamic;
  for (const auto& body : bodies_) {
    for (const auto& in : body.function->instructions)
      for (const auto& operand : in.operands) visit(operand, visit);
    for (const auto& [name, variable] : body.function->variables)
      if (variable.space == ptx::Space::shared) (variable.external ? dynamic : fixed).push_back(&variable);
  }
  for (const auto& [name, variable] : module_.variables)
    if (variable.space == ptx::Space::shared && names.count(name))
      (variable.external ? dynamic : fixed).push_back(&variable);
  std::stable_sort(fixed.begin(), fixed.end(), [](auto* a, auto* b) { return a->align > b->align; });
  for (const auto& name : names)
    if (name.rfind("%reserved_smem", 0) == 0) program_->reserved_shared = 1024;
  u32 at = program_->reserved_shared;
  for (const auto* variable : fixed) {
    at = (at + variable->align - 1) / variable->align * variable->align;
    shared_offset_[variable->name] = at;
    at += static_cast<u32>(variable->size);
  }
  u32 align = dynamic.empty() ? 1 : 16;
  for (const auto* variable : dynamic) align = std::max(align, variable->align);
  if (!dynamic.empty()) at = (at + align - 1) / align * align;
  for (const auto* variable : dynamic) shared_offset_[variable->name] = at;
  program_->static_shared = at - program_->reserved_shared;
}

// The register file has an area for each class of registers, and a function a fixed part of each, above those of its
// callers: only a recursive call has to save. Functions that never call one another share their parts, and lanes may
// stand in both at a time; each has its own column, as registers of one width stand there and no others.
void Decoder::lay_out_frames() {
  std::vector<std::array<u32, kClasses>> first(bodies_.size());  // slots, by class
  std::vector<u32> depth(bodies_.size(), 0);
  std::array<u32, kClasses> most{};
  u32 local_most = 0, registers = 0;
  for (std::size_t f = 0; f < bodies_.size(); ++f) {  // callers come first
    Body& body = bodies_[f];
    body.flow = analyse_flow(*body.function);
    body.slots = allocate_slots(*body.function, body.flow);
    FunctionInfo& info = program_->functions[f];
    const int* count = body.slots.count;
    std::array<u32, kClasses> end{};
    for (int type = 0; type < kClasses; ++type) {
      end[type] = first[f][type] + static_cast<u32>(count[type] + kTemporaries + (type == 0));  // one for the carry
      most[type] = std::max(most[type], end[type]);
    }
    body.incoming = body.function->entry ? 0 : (body.function->parameter_bytes + 15) / 16 * 16;
    info.local_bytes = body.incoming + (body.function->local_bytes + 15) / 16 * 16;
    registers = std::max(registers, static_cast<u32>(count[1] + count[2] + 2 * count[3] + 4 * count[4]));
    local_most = std::max(local_most, depth[f] + info.local_bytes);
    for (const auto& callee : body.callees) {
      const int g = index_of_.at(callee);
      if (g <= static_cast<int>(f)) continue;  // an edge back in a cycle
      for (int type = 0; type < kClasses; ++type) first[g][type] = std::max(first[g][type], end[type]);
      depth[g] = std::max(depth[g], depth[f] + info.local_bytes);
    }
  }
  u32 at = 0;
  for (int type = 0; type < kClasses; ++type) {
    for (std::size_t f = 0; f < bodies_.size(); ++f) {
      Body& body = bodies_[f];
      const u32 bytes = kSlotBytes[type];
      body.base[type] = at + bytes * first[f][type];
      u32 end = body.base[type] + bytes * static_cast<u32>(body.slots.count[type]);
      if (type == 0) {
        body.carry = end;
        end += bytes;
      }
      body.temporary[type] = end;
      program_->functions[f].parts[type] = {body.base[type], end + bytes * kTemporaries};
    }
    at = (at + kSlotBytes[type] * most[type] + 63) / 64 * 64;
  }
  program_->registers = registers;
  bool calls = bodies_.size() > 1;
  for (const auto& body : bodies_)
    for (const auto& in : body.function->instructions) {
      calls |= in.parts[0] == "call";
      program_->allocates |= in.parts[0] == "alloca";
    }
  program_->local_bytes =
      local_most + (calls ? 1024 : 0) + (program_->recursive || program_->allocates ? 64 * 1024 : 0);
  next_offset_ = at;
}

void Decoder::emit_body(int index) {
  current_ = &bodies_[index];
  current_index_ = index;
  const ptx::Function& function = *current_->function;
  const Flow& flow = current_->flow;
  program_->functions[index].start = static_cast<u32>(program_->code.size());
  for (std::size_t k = 0; k < flow.order.size(); ++k) {
    const int b = flow.order[k];
    const BasicBlock& block = flow.blocks[b];
    current_->label_of_block[b] = static_cast<u32>(program_->code.size());
    source_ = 0;
    instruction_ = nullptr;
    Inst label;
    label.fn = find_handler("label");
    const auto& first = function.instructions[block.begin];
    if (function.entry && first.guard < 0 && (first.parts[0] == "ret" || first.parts[0] == "exit"))
      label.flags = kExitsAtOnce;
    program_->code.push_back(label);
    for (int i = block.begin; i < block.end; ++i) emit_instruction(function.instructions[i]);
    const auto& last = function.instructions[block.end - 1];
    const bool ends = last.guard < 0 && (last.parts[0] == "bra" || last.parts[0] == "brx" || last.parts[0] == "ret" ||
                                         last.parts[0] == "exit" || last.parts[0] == "trap");
    if (ends) continue;
    instruction_ = nullptr;
    source_ = 0;
    if (block.end >= static_cast<int>(function.instructions.size())) {  // running off the end is a return
      Inst leave;
      leave.fn = find_handler("ret");
      program_->code.push_back(leave);
      continue;
    }
    const int next = flow.block_of[block.end];
    if (k + 1 < flow.order.size() && flow.order[k + 1] == next) continue;
    fixes_.push_back({static_cast<u32>(program_->code.size()), index, next, nullptr});
    Inst jump;
    jump.fn = find_handler("bra");
    program_->code.push_back(jump);
  }
  if (flow.order.empty()) {
    Inst leave;
    leave.fn = find_handler("ret");
    program_->code.push_back(leave);
  }
}

void Decoder::finish_targets() {
  for (const auto& fix : fixes_) {
    const u32 to = bodies_[fix.function].label_of_block.at(fix.block);
    if (fix.place) {
      *fix.place = to;
      continue;
    }
    Inst& inst = program_->code[fix.inst];
    inst.target = to;
    inst.backward = to <= fix.inst;
  }
}

void Decoder::emit_instruction(const ptx::Instruction& in) {
  instruction_ = &in;
  std::fill(used_temporaries_, used_temporaries_ + kClasses, 0);
  Source source;
  source.text = in.text;
  source.function = current_->function->name;
  source.file = in.file;
  source.line = in.line;
  source.type = classify(in);
  source_ = static_cast<u32>(program_->sources.size());
  program_->sources.push_back(std::move(source));
  const std::size_t start = program_->code.size();
  const std::size_t fixes = fixes_.size();
  try {
    check_modifiers(in);
    if (control(in) || warp(in) || memory(in) || atomic(in) || async_copy(in) || matrix(in) || move(in) ||
        compare(in) || convert(in) || arithmetic(in)) {
      return;
    }
  } catch (const Unsupported&) {
  } catch (const std::out_of_range&) {  // operands of another form than any that is known
  }
  // It stops, with its name, when something executes it.
  program_->code.resize(start);
  fixes_.resize(fixes);
  Inst stop;
  stop.fn = find_handler("unsupported");
  stop.source = source_;
  program_->code.push_back(stop);
}

InstClass Decoder::classify(const ptx::Instruction& in) const {
  const std::string& op = in.parts[0];
  const std::string& type = in.parts.back();
  if (op == "ld" || op == "st" || op == "ldu") {
    const std::string space = space_of(in);
    if (space == "shared") return op == "st" ? InstClass::store_shared : InstClass::load_shared;
    if (space == "local") return InstClass::local;
    if (space == "param") return InstClass::move;
    return op == "st" ? InstClass::store_global : InstClass::load_global;
  }
  if (op == "cp") return in.has("bulk") || in.operands.size() < 2 ? InstClass::barrier : InstClass::load_global;
  if (op == "atom" || op == "red") return InstClass::atomic;
  if (op == "mma" || op == "wmma" || op == "ldmatrix" || op == "stmatrix" || op == "movmatrix")
    return InstClass::matrix;
  if (op == "bar" || op == "barrier" || op == "mbarrier" || op == "membar" || op == "fence") return InstClass::barrier;
  if (op == "bra" || op == "brx" || op == "call" || op == "ret" || op == "exit" || op == "trap")
    return InstClass::control;
  if (op == "shfl" || op == "vote" || op == "match" || op == "redux" || op == "activemask" || op == "elect")
    return InstClass::warp;
  if (op == "setp" || op == "set" || op == "selp" || op == "slct" || type == "pred") return InstClass::predicate;
  if (op == "cvt") return InstClass::convert;
  if (op == "mov" || op == "cvta") return InstClass::move;
  if (in.has("approx") || op == "sqrt" || op == "rsqrt" || op == "rcp" || op == "sin" || op == "cos" || op == "ex2" ||
      op == "lg2" || op == "tanh")
    return InstClass::special;
  if (type == "f32") return InstClass::floating;
  if (type == "f64") return InstClass::twice;
  if (type.find("f16") != std::string::npos) return InstClass::half;
  return InstClass::integer;
}

}  // namespace tweedie::vgpu
