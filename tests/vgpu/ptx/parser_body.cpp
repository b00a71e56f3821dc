// Function bodies: registers, labels and instructions.
#include <cstring>

#include "ptx/parser.h"

namespace tweedie::vgpu::ptx {

void Parser::body() {
  scopes_.assign(1, {});
  scope_starts_.assign(1, 0);
  file_ = line_ = 0;
  while (!scopes_.empty()) {
    const Token& token = peek();
    if (token.kind == TokenKind::end) fail("unfinished function");
    if (accept("{")) {
      scopes_.emplace_back();
      scope_starts_.push_back(current_->instructions.size());
    } else if (accept("}")) {
      close_labels();
      scopes_.pop_back();
      scope_starts_.pop_back();
    } else if (token.text == ".reg") {
      next();
      register_declaration();
    } else if (token.text == ".loc") {
      location();
    } else if (token.text == ".pragma") {
      next(), next();
      expect(";");
    } else if (token.text == ".param") {
      call_parameter();
    } else if (token.text == ".local" || token.text == ".shared" || token.text == ".global" || token.text == ".const") {
      next();
      const Space space = token.text == ".local"    ? Space::local
                          : token.text == ".shared" ? Space::shared
                          : token.text == ".const"  ? Space::constant
                                                    : Space::global;
      Variable declared = variable(space);
      expect(";");
      if (space == Space::local) {
        current_->local_bytes = (current_->local_bytes + declared.align - 1) / declared.align * declared.align;
        current_->local_offsets[declared.name] = current_->local_bytes;
        current_->local_bytes += static_cast<u32>(declared.size);
      }
      if (space == Space::shared || space == Space::local) {
        current_->variables[declared.name] = std::move(declared);
      } else {
        module_->variables[declared.name] = std::move(declared);
      }
    } else if (token.kind == TokenKind::word && peek(1).text == ":") {
      std::string label = name();
      next();
      if (peek().text == ".branchtargets") {
        next();
        auto& targets = current_->branch_targets[label];
        do targets.push_back(name());
        while (accept(","));
        expect(";");
      } else if (peek().text == ".callprototype" || peek().text == ".calltargets") {
        while (!accept(";")) next();
      } else {
        if (scopes_.size() > 1) {
          scopes_.back().labels.push_back(label);
          label = fmt::format("{}@{}", label, scope_starts_.back());
        }
        current_->labels[label] = static_cast<int>(current_->instructions.size());
      }
    } else if (accept(";")) {
      continue;
    } else {
      instruction();
    }
  }
}

// A label belongs to the braces that hold it: the branches among them get its unique name.
void Parser::close_labels() {
  for (const auto& label : scopes_.back().labels)
    for (std::size_t i = scope_starts_.back(); i < current_->instructions.size(); ++i)
      for (auto& operand : current_->instructions[i].operands)
        if (operand.kind == OperandKind::symbol && operand.name == label)
          operand.name = fmt::format("{}@{}", label, scope_starts_.back());
}

void Parser::location() {
  // .loc file line column [, function_name label[+n], inlined_at file line column]
  const int source_line = next().line;
  file_ = static_cast<int>(integer());
  line_ = static_cast<int>(integer());
  while (peek().line == source_line && peek().kind != TokenKind::end) next();
}

void Parser::register_declaration() {
  const std::string type = name();
  int width = type == ".pred" ? 1 : 8 * type_bytes(std::string_view(type).substr(1));
  if (width == 0) fail("a register of unknown type before this");
  if (width == 8) width = 16;
  do {
    const std::string register_name = name();
    if (accept("<")) {
      integer();
      expect(">");
      scopes_.back().families.emplace_back(register_name, width);
    } else {
      scopes_.back().registers[register_name] = static_cast<int>(current_->registers.size());
      current_->registers.push_back({register_name, width});
    }
  } while (accept(","));
  expect(";");
}

int Parser::register_of(std::string_view register_name) {
  std::string_view prefix = register_name;
  while (!prefix.empty() && prefix.back() >= '0' && prefix.back() <= '9') prefix.remove_suffix(1);
  for (std::size_t s = scopes_.size(); s-- > 0;) {
    Scope& scope = scopes_[s];
    const auto exact = scope.registers.find(register_name);
    if (exact != scope.registers.end()) return exact->second;
    if (prefix.size() == register_name.size()) continue;
    for (const auto& [family, width] : scope.families) {
      if (family != prefix) continue;
      const int index = static_cast<int>(current_->registers.size());
      scope.registers.emplace(register_name, index);
      current_->registers.push_back({std::string(register_name), width});
      return index;
    }
  }
  return -1;
}

void Parser::call_parameter() {
  Parameter declared = parameter();
  expect(";");
  scopes_.back().parameters[declared.name] = declared;
}

Operand Parser::immediate(bool negative) {
  Operand result;
  result.kind = OperandKind::immediate;
  if (peek().kind != TokenKind::number) fail("expected a number");
  const std::string text(peek().text);
  if (text.size() == 10 && text[0] == '0' && (text[1] == 'f' || text[1] == 'F')) {
    next();
    result.value = std::stoull(text.substr(2), nullptr, 16) ^ (negative ? 0x80000000u : 0u);
    result.is_float = result.single = true;
  } else if (text.size() == 18 && text[0] == '0' && (text[1] == 'd' || text[1] == 'D')) {
    next();
    result.value = std::stoull(text.substr(2), nullptr, 16) ^ (negative ? 1ull << 63 : 0);
    result.is_float = true;
  } else if (text.find('.') != std::string::npos) {
    next();
    const double value = negative ? -std::stod(text) : std::stod(text);
    std::memcpy(&result.value, &value, 8);
    result.is_float = true;
  } else {
    const i64 value = integer();
    result.value = static_cast<u64>(negative ? -value : value);
  }
  return result;
}

Operand Parser::address() {
  Operand result;
  result.kind = OperandKind::address;
  if (peek().kind == TokenKind::word) {
    const std::string base = name();
    result.reg = register_of(base);
    if (result.reg < 0) result.name = base;
  } else {
    result.value = static_cast<u64>(integer());
  }
  if (accept("+")) {
    result.value += static_cast<u64>(integer());
  } else if (peek().text == "-") {
    result.value += static_cast<u64>(integer());
  }
  // Texture-like addresses carry further operands after a comma; nothing here accepts them.
  expect("]");
  return result;
}

Operand Parser::group(char close) {
  Operand result;
  result.kind = close == '}' ? OperandKind::vector : OperandKind::list;
  const std::string_view closing = close == '}' ? "}" : ")";
  while (!accept(closing)) {
    result.items.push_back(operand());
    accept(",");
  }
  return result;
}

Operand Parser::operand() {
  if (accept("{")) return group('}');
  if (accept("(")) return group(')');
  if (accept("[")) return address();
  if (accept("-")) return immediate(true);
  if (peek().kind == TokenKind::number) return immediate(false);
  Operand result;
  if (accept("!")) result.negated = true;
  const std::string word = name();
  if (word == "_") {
    result.kind = OperandKind::sink;
    if (accept("|")) result.second = register_of(name());  // _|%p: only the predicate is wanted
    return result;
  }
  result.reg = register_of(word);
  if (result.reg >= 0) {
    result.kind = OperandKind::reg;
    if (accept("|")) {
      const std::string other = name();
      result.second = other == "_" ? -1 : register_of(other);
    }
    return result;
  }
  result.kind = OperandKind::symbol;
  result.name = word;
  if (accept("+")) result.value = static_cast<u64>(integer());
  return result;
}

void Parser::instruction() {
  Instruction made;
  made.file = file_;
  made.line = line_;
  const std::size_t first = at_;
  if (accept("@")) {
    made.guard_negated = accept("!");
    made.guard = register_of(name());
    if (made.guard < 0) fail("an unknown guard before this");
  }
  if (peek().kind != TokenKind::word) fail("expected an instruction");
  const std::size_t opcode_at = at_;
  std::string_view opcode = next().text;
  while (!opcode.empty()) {
    const std::size_t point = opcode.find('.');
    made.parts.emplace_back(opcode.substr(0, point));
    opcode = point == std::string_view::npos ? std::string_view() : opcode.substr(point + 1);
  }
  operands(made);
  for (std::size_t i = first; i + 1 < at_; ++i) {
    made.text += tokens_[i].text;
    if (i + 2 < at_ && (i < opcode_at ? i + 1 == opcode_at : i == opcode_at || tokens_[i].text == ","))
      made.text += ' ';
  }
  for (auto& result : made.operands)  // a result of a call that was read before
    if (result.kind == OperandKind::address && !result.name.empty())
      if (const auto found = scopes_.back().parameters.find(result.name);
          found != scopes_.back().parameters.end() && scopes_.back().called) {
        result.name = "%outgoing";
        result.value += found->second.offset;
      }
  const bool call = made.parts[0] == "call";
  current_->instructions.push_back(std::move(made));
  if (call) finish_call(current_->instructions.back(), scope_starts_.back());
}

// Operands of a form that is unknown here (a texture's, for one) spoil this instruction and nothing else: it stops with
// its name when a thread comes to it.
void Parser::operands(Instruction& made) {
  try {
    while (!accept(";")) {
      made.operands.push_back(operand());
      accept(",");
    }
  } catch (const std::runtime_error&) {
    made.operands.clear();
    made.parts = {"unreadable"};
    while (!accept(";")) {
      if (peek().kind == TokenKind::end) fail("unfinished instruction");
      next();
    }
  }
}

// Turns the named .param variables of a call sequence into offsets from the start of the callee's frame: results
// first, then parameters, as lay_out() gives them to the callee. Instructions already read (st.param) are patched;
// those to come (ld.param) find the offsets in the scope.
void Parser::finish_call(Instruction& call, std::size_t scope_start) {
  Scope& scope = scopes_.back();
  u32 offset = 0;
  auto place = [&](const Operand& list) {
    for (const auto& item : list.items) {
      const auto found = scope.parameters.find(item.name);
      if (found == scope.parameters.end()) fail(fmt::format("call with unknown parameter {}", item.name));
      Parameter& parameter = found->second;
      offset = (offset + parameter.align - 1) / parameter.align * parameter.align;
      parameter.offset = offset;
      offset += parameter.size;
    }
  };
  scope.called = true;
  // Operands are: [(results),] target [, (parameters)] [, prototype]
  std::size_t at = 0;
  if (call.operands[0].kind == OperandKind::list) place(call.operands[at++]);
  if (call.operands.size() > at + 1 && call.operands[at + 1].kind == OperandKind::list) place(call.operands[at + 1]);
  call.operands.push_back({});
  call.operands.back().kind = OperandKind::immediate;
  call.operands.back().value = offset;
  for (std::size_t i = scope_start; i < current_->instructions.size(); ++i) {
    auto& earlier = current_->instructions[i];
    for (auto& operand : earlier.operands) {
      if (operand.kind != OperandKind::address || operand.name.empty()) continue;
      const auto found = scope.parameters.find(operand.name);
      if (found == scope.parameters.end()) continue;
      operand.name = "%outgoing";
      operand.value += found->second.offset;
    }
  }
}

}  // namespace tweedie::vgpu::ptx
