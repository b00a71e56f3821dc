#include "ptx/parser.h"

#include <charconv>
#include <cstring>

namespace tweedie::vgpu::ptx {

int type_bytes(std::string_view type) {
  static const std::map<std::string_view, int> sizes = {
      {"b8", 1},    {"u8", 1},  {"s8", 1},  {"b16", 2}, {"u16", 2},  {"s16", 2},   {"f16", 2},    {"bf16", 2},
      {"b32", 4},   {"u32", 4}, {"s32", 4}, {"f32", 4}, {"tf32", 4}, {"f16x2", 4}, {"bf16x2", 4}, {"u16x2", 4},
      {"s16x2", 4}, {"b64", 8}, {"u64", 8}, {"s64", 8}, {"f64", 8},  {"b128", 16}};
  const auto found = sizes.find(type);
  return found == sizes.end() ? 0 : found->second;
}

u32 lay_out(std::vector<Parameter>& list, u32 start) {
  for (auto& parameter : list) {
    start = (start + parameter.align - 1) / parameter.align * parameter.align;
    parameter.offset = start;
    start += parameter.size;
  }
  return start;
}

std::unique_ptr<Module> parse(std::string_view text) {
  return Parser(text).run();
}

Parser::Parser(std::string_view text) : tokens_(tokenize(text)), module_(std::make_unique<Module>()) {}

const Token& Parser::peek(int ahead) const {
  return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
}
const Token& Parser::next() {
  const Token& token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}
bool Parser::accept(std::string_view text) {
  if (peek().text != text || peek().kind == TokenKind::string) return false;
  next();
  return true;
}
void Parser::expect(std::string_view text) {
  if (!accept(text)) fail(fmt::format("expected '{}'", text));
}
void Parser::fail(const std::string& what) const {
  throw std::runtime_error(fmt::format("ptx line {}: {} at '{}'", peek().line, what, peek().text));
}
std::string Parser::name() {
  if (peek().kind != TokenKind::word) fail("expected a name");
  return std::string(next().text);
}

i64 Parser::integer() {
  const bool negative = accept("-");
  if (peek().kind != TokenKind::number) fail("expected a number");
  std::string_view digits = next().text;
  while (!digits.empty() && (digits.back() == 'U' || digits.back() == 'u')) digits.remove_suffix(1);
  int base = 10;
  if (digits.size() > 1 && digits[0] == '0') {
    const char kind = digits[1];
    base = kind == 'x' || kind == 'X' ? 16 : kind == 'b' || kind == 'B' ? 2 : 8;
    digits.remove_prefix(base == 8 ? 1 : 2);
  }
  u64 value = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) fail("not an integer before this");
  return negative ? -static_cast<i64>(value) : static_cast<i64>(value);
}

std::unique_ptr<Module> Parser::run() {
  while (peek().kind != TokenKind::end) directive();
  u32 number = 0;
  for (auto& [name, function] : module_->functions) function->number = ++number;
  return std::move(module_);
}

void Parser::directive() {
  if (accept(";")) return;
  const std::string_view word = peek().text;
  if (word == ".version") {
    next(), next();
  } else if (word == ".target") {
    next();
    const std::string target = name();
    if (target.rfind("sm_", 0) == 0) module_->target = std::atoi(target.c_str() + 3);
    while (accept(",")) next();
  } else if (word == ".address_size") {
    next();
    if (integer() != 64) fail("only 64-bit addresses are supported, before this");
  } else if (word == ".file") {
    file_directive();
  } else if (word == ".section") {
    next();
    next();
    expect("{");
    for (int depth = 1; depth > 0;) {
      if (peek().kind == TokenKind::end) fail("unfinished section");
      const std::string_view text = next().text;
      depth += text == "{" ? 1 : text == "}" ? -1 : 0;
    }
  } else if (word == ".visible" || word == ".weak" || word == ".common" || word == ".alias") {
    next();
  } else if (word == ".extern") {
    next();
    const std::string_view kind = peek().text;
    if (kind == ".func" || kind == ".entry") return;
    next();
    Variable declared = variable(kind == ".shared"  ? Space::shared
                                 : kind == ".const" ? Space::constant
                                                    : Space::global);
    declared.external = true;
    module_->variables.emplace(declared.name, declared);
  } else if (word == ".global" || word == ".const" || word == ".shared") {
    next();
    const Space space = word == ".shared" ? Space::shared : word == ".const" ? Space::constant : Space::global;
    do {
      Variable declared = variable(space);
      module_->variables[declared.name] = std::move(declared);
    } while (accept(","));
    expect(";");
  } else if (word == ".func" || word == ".entry") {
    next();
    function(word == ".entry");
  } else if (word == ".pragma") {
    next(), next();
  } else {
    fail("unknown directive");
  }
}

void Parser::file_directive() {
  next();
  const int index = static_cast<int>(integer());
  module_->files[index] = std::string(next().text);
  while (accept(",")) next();
}

Variable Parser::variable(Space space) {
  Variable result;
  result.space = space;
  int element = 0;
  bool aligned = false;
  while (peek().kind == TokenKind::word && peek().text.front() == '.') {
    const std::string_view word = next().text;
    if (word == ".align") {
      result.align = static_cast<u32>(integer());
      aligned = true;
    } else if (word == ".attribute") {
      expect("(");
      while (!accept(")"))
        if (next().text == ".managed") result.managed = true;
    } else if (word == ".v2" || word == ".v4") {
      result.size = word == ".v2" ? 2 : 4;
    } else if (const int bytes = type_bytes(word.substr(1))) {
      element = bytes;
    } else if (word != ".ptr" && word != ".global" && word != ".shared" && word != ".const" && word != ".local") {
      fail(fmt::format("unknown variable attribute {}", word));
    }
  }
  if (element == 0) fail("a variable without a type");
  const u64 unit = element * (result.size ? result.size : 1);
  if (!aligned) result.align = static_cast<u32>(unit);
  result.name = name();
  u64 count = 1;
  bool open = false;
  while (accept("[")) {
    if (accept("]")) {
      open = true;
      count = 0;
      continue;
    }
    count *= static_cast<u64>(integer());
    expect("]");
  }
  result.size = unit * count;
  result.external = open;
  if (accept("=")) initialiser(result, element);
  return result;
}

void Parser::initialiser(Variable& variable, int element_bytes) {
  u64 at = 0;
  auto value = [&](auto& self) -> void {
    if (accept("{")) {
      while (!accept("}")) {
        self(self);
        accept(",");
      }
    } else {
      store_value(variable, element_bytes, at);
      at += element_bytes;
    }
  };
  value(value);
  if (variable.size == 0) {
    variable.size = at;
    variable.external = false;
  }
  variable.bytes.resize(variable.size);
}

void Parser::store_value(Variable& variable, int element_bytes, u64 at) {
  if (variable.bytes.size() < at + element_bytes)
    variable.bytes.resize(std::max<u64>(variable.size, at + element_bytes));
  if (peek().kind == TokenKind::number && peek().text.size() > 1 && peek(1).text == "(") {
    // A byte of an address: 0xFF00(symbol) keeps the masked byte.
    const u64 mask = static_cast<u64>(integer());
    expect("(");
    Initialiser address{at, element_bytes, 0, false, {}, 0};
    if (accept("generic")) {
      expect("(");
      address.generic = true;
      address.symbol = name();
      expect(")");
    } else {
      address.symbol = name();
    }
    if (accept("+")) address.addend = integer();
    expect(")");
    if (accept("+")) address.addend = integer();
    while (address.shift < 64 && !((mask >> address.shift) & 1)) ++address.shift;
    variable.addresses.push_back(address);
    return;
  }
  if (peek().kind == TokenKind::word) {
    Initialiser address{at, element_bytes, 0, false, {}, 0};
    if (accept("generic")) {
      expect("(");
      address.generic = true;
      address.symbol = name();
      if (accept("+")) address.addend = integer();
      expect(")");
    } else {
      address.symbol = name();
    }
    if (accept("+")) address.addend = integer();
    variable.addresses.push_back(address);
    return;
  }
  const bool negative = accept("-");
  const Operand number = immediate(negative);
  u64 bits = number.value;
  if (number.is_float && !number.single && element_bytes == 4) {
    double wide;
    std::memcpy(&wide, &bits, 8);
    const float narrow = static_cast<float>(wide);
    bits = 0;
    std::memcpy(&bits, &narrow, 4);
  }
  std::memcpy(variable.bytes.data() + at, &bits, std::min(element_bytes, 8));
}

Parameter Parser::parameter() {
  Parameter result;
  expect(".param");
  const Variable declared = variable(Space::param);
  result.name = declared.name;
  result.align = declared.align;
  result.size = static_cast<u32>(declared.size);
  return result;
}

std::vector<Parameter> Parser::parameter_list() {
  std::vector<Parameter> list;
  if (!accept("(")) return list;
  while (!accept(")")) {
    list.push_back(parameter());
    accept(",");
  }
  return list;
}

void Parser::function(bool entry) {
  std::vector<Parameter> results;
  if (!entry) results = parameter_list();
  auto made = std::make_unique<Function>();
  made->entry = entry;
  made->name = name();
  made->results = std::move(results);
  made->parameters = parameter_list();
  made->parameter_bytes = lay_out(made->parameters, lay_out(made->results, 0));
  while (peek().kind == TokenKind::word) {
    const std::string_view word = next().text;
    auto product = [&] {
      u32 total = static_cast<u32>(integer());
      while (accept(",")) total *= static_cast<u32>(integer());
      return total;
    };
    if (word == ".maxntid") {
      made->max_threads = product();
    } else if (word == ".reqntid") {
      made->required_threads = product();
    } else if (word == ".minnctapersm") {
      made->min_blocks = product();
    } else if (word == ".maxnreg" || word == ".maxnctapersm" || word == ".maxclusterrank" || word == ".abi_preserve") {
      integer();
    } else if (word == ".pragma") {
      next();
      accept(";");
    } else if (word != ".noreturn" && word != ".blocksareclusters" && word != ".explicitcluster") {
      if (word == ".reqnctapercluster") {
        made->cluster_blocks = product();
      } else {
        fail(fmt::format("unknown function attribute {}", word));
      }
    }
  }
  Function*& known = current_;
  auto& place = module_->functions[made->name];
  if (accept(";")) {
    if (!place) place = std::move(made);
    return;
  }
  place = std::move(made);
  known = place.get();
  known->defined = true;
  expect("{");
  body();
  current_ = nullptr;
}

}  // namespace tweedie::vgpu::ptx
