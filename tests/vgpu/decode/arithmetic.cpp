// Arithmetic, comparisons and moves.
#include <cstring>

#include "decode/decoder.h"
#include "decode/types.h"

namespace tweedie::vgpu {
namespace {

u8 half_flags(const ptx::Instruction& in) {
  return static_cast<u8>((in.has("ftz") ? 1 : 0) | (in.has("sat") ? 2 : 0) | (in.has("relu") ? 4 : 0));
}

}  // namespace

bool Decoder::move(const ptx::Instruction& in) {
  const std::string& op = in.parts[0];
  const std::string& type = in.parts.back();
  if (op == "cvta") {
    // cvta.space: adds the window; cvta.to.space: takes it away. Global and constant addresses are generic already.
    const bool to = in.has("to");
    u64 window = 0;
    for (const auto& part : in.parts) {
      if (part.rfind("shared", 0) == 0) window = kSharedWindow;
      if (part == "local") window = kLocalWindow;
      if (part == "param") window = kParamWindow;
    }
    Inst inst;
    inst.a = source(in.operands.at(1), 64);
    inst.d = destination(in.operands.at(0), 64);
    inst.b = window == 0 ? 0 : constant(64, to ? 0xffffffffull : window);
    if (window == kLocalWindow || window == kSharedWindow || window == kParamWindow)
      emit(to ? "and.b64" : "or.b64", inst);
    else
      emit("mov.b64", inst);
    settle(in.operands[0], 64, inst.d);
    return true;
  }
  if (op == "isspacep") {
    Inst inst;
    inst.d = destination(in.operands.at(0), 1);
    inst.a = source(in.operands.at(1), 64);
    const std::string& space = in.parts.at(1);
    inst.imm = space.rfind("shared", 0) == 0 ? static_cast<i64>(kSharedWindow)
               : space == "local"            ? static_cast<i64>(kLocalWindow)
               : space == "param"            ? static_cast<i64>(kParamWindow)
               : space == "global"           ? 0
                                             : static_cast<i64>(kFunctionWindow);
    emit("isspacep", inst);
    return true;
  }
  if (op != "mov") return false;
  const auto& to = in.operands.at(0);
  const auto& from = in.operands.at(1);
  Inst inst;
  if (type == "pred") {
    inst.d = destination(to, 1);
    inst.a = inst.b = predicate_source(from);
    emit("mov.pred", inst);
    return true;
  }
  const int width = width_of_type(type);
  if (from.kind == ptx::OperandKind::vector) {
    const std::size_t parts = from.items.size();
    const int part = width / static_cast<int>(parts);
    inst.d = destination(to, width);
    std::vector<u32> sources;
    for (const auto& item : from.items) sources.push_back(source(item, std::max(part, 16)));
    if (part == 8) {  // bytes stand in 16-bit registers
      inst.list = list(sources);
      emit(fmt::format("pack.bytes.{}", width), inst);
    } else if (parts == 2) {
      inst.a = sources[0];
      inst.b = sources[1];
      emit("pack.b" + std::to_string(width), inst);
    } else {
      inst.list = list(sources);
      emit(fmt::format("pack{}.b{}", parts, width), inst);
    }
    return true;
  }
  if (to.kind == ptx::OperandKind::vector) {
    const std::size_t parts = to.items.size();
    inst.a = source(from, width);
    std::vector<u32> destinations;
    const int part = width / static_cast<int>(parts);
    for (const auto& item : to.items) destinations.push_back(sink(item, std::max(part, 16)));
    inst.list = list(destinations);
    inst.count = static_cast<u8>(parts);
    if (part == 8)
      emit(fmt::format("unpack.bytes.{}", width), inst);
    else
      emit(parts == 2 ? fmt::format("unpack.b{}", width) : fmt::format("unpack{}.b{}", parts, width), inst);
    return true;
  }
  inst.a = source(from, width, type);
  inst.d = destination(to, width);
  emit(fmt::format("mov.b{}", width), inst);
  settle(to, width, inst.d);
  return true;
}

bool Decoder::compare(const ptx::Instruction& in) {
  const std::string& op = in.parts[0];
  const std::string& type = in.parts.back();
  if (op == "selp") {
    Inst inst;
    const int width = width_of_type(type);
    inst.a = source(in.operands.at(1), width, type);
    inst.b = source(in.operands.at(2), width, type);
    inst.c = predicate_source(in.operands.at(3));
    inst.d = destination(in.operands[0], width);
    emit(fmt::format("selp.{}", width), inst);
    return true;
  }
  if (op == "slct") {
    Inst inst;
    const std::string& value = in.parts.at(in.parts.size() - 2);
    const int width = width_of_type(value);
    inst.a = source(in.operands.at(1), width, value);
    inst.b = source(in.operands.at(2), width, value);
    inst.c = source(in.operands.at(3), 32, type);
    inst.d = destination(in.operands[0], width);
    emit_rounded(fmt::format("slct.{}.{}", width, type), inst, rounding_bits(in));
    return true;
  }
  if (op == "testp") {
    static const char* kinds[] = {"finite", "infinite", "number", "notanumber", "normal", "subnormal"};
    Inst inst;
    for (u8 k = 0; k < 6; ++k)
      if (in.parts.at(1) == kinds[k]) inst.kind = k;
    inst.a = source(in.operands.at(1), width_of_type(type), type);
    inst.d = destination(in.operands[0], 1);
    emit("testp." + type, inst);
    return true;
  }
  if (op != "setp" && op != "set") return false;
  const bool set = op == "set";
  Inst inst;
  const int width = width_of_type(type);
  std::string combine;
  for (std::size_t k = 2; k < in.parts.size(); ++k)
    if (in.parts[k] == "and" || in.parts[k] == "or" || in.parts[k] == "xor") combine = in.parts[k];
  inst.a = source(in.operands.at(1), width, type);
  inst.b = source(in.operands.at(2), width, type);
  if (!combine.empty()) {
    inst.kind = combine == "and" ? 1 : combine == "or" ? 2 : 3;
    inst.c = predicate_source(in.operands.at(3));
  }
  const bool pair = type == "f16x2" || type == "bf16x2";
  u32 control = rounding_bits(in) & 0x8040;
  if (is_half(type)) control = 0;
  const std::string key = "setp." + in.parts.at(1) + "." + type;
  if (!set) {
    const auto& to = in.operands[0];
    inst.d = to.kind == ptx::OperandKind::sink ? kFull : destination(to, 1);
    inst.extra = to.second >= 0 ? register_offset(to.second) : kFull;
    emit_rounded(key, inst, control);
    return true;
  }
  inst.d = temporary(1);
  inst.extra = pair ? temporary(1) : kFull;
  emit_rounded(key, inst, control);
  const std::string& result = in.parts.at(in.parts.size() - 2);
  Inst value;
  value.a = inst.d;
  value.b = inst.extra;
  const int result_width = width_of_type(result);
  value.d = destination(in.operands[0], result_width);
  value.imm = result == "f32"                          ? 0x3f800000
              : result == "f16" || result == "f16x2"   ? 0x3c00
              : result == "bf16" || result == "bf16x2" ? 0x3f80
                                                       : -1;
  if (pair) {
    if (!is_float(result)) value.imm = 0xffff;
    emit("set.pair", value);
  } else {
    emit(fmt::format("set.{}", result_width), value);
  }
  settle(in.operands[0], result_width, value.d);
  return true;
}

// vadd4, vabsdiff2 ...: every element of both operands, without selectors or masks.
bool Decoder::video(const ptx::Instruction& in) {
  static const char* names[] = {"vadd", "vsub", "vavrg", "vabsdiff", "vmin", "vmax"};
  const std::string& op = in.parts[0];
  Inst inst;
  for (u8 k = 0; k < 6; ++k) {
    if (op.substr(0, op.size() - 1) != names[k]) continue;
    inst.kind = k;
    inst.count = static_cast<u8>(op.back() - '0');
  }
  if (inst.count != 2 && inst.count != 4) return false;
  for (u8 k = 0; k < 3; ++k)
    if (in.parts.at(1 + k) == "s32") inst.flags |= static_cast<u8>(1 << k);
  if (in.has("sat")) inst.flags |= 8;
  if (in.has("add")) inst.flags |= 16;
  inst.a = source(in.operands.at(1), 32);
  inst.b = source(in.operands.at(2), 32);
  inst.c = source(in.operands.at(3), 32);
  inst.d = destination(in.operands[0], 32);
  emit("video", inst);
  return true;
}

bool Decoder::arithmetic(const ptx::Instruction& in) {
  const std::string op = in.parts[0];
  std::string type = in.parts.back();
  if (type == "relu") type = in.parts.at(in.parts.size() - 2);  // min.s32.relu
  Inst inst;
  const auto& operands = in.operands;
  if (type == "pred") {
    inst.a = predicate_source(operands.at(1));
    inst.b = operands.size() > 2 ? predicate_source(operands[2]) : inst.a;
    inst.d = destination(operands[0], 1);
    emit(op + ".pred", inst);
    return true;
  }
  if (op == "lop3") {
    const bool with_predicate = in.parts.size() > 2 && (in.parts[1] == "or" || in.parts[1] == "and");
    inst.a = source(operands.at(1), 32);
    inst.b = source(operands.at(2), 32);
    inst.c = source(operands.at(3), 32);
    inst.imm = static_cast<i64>(operands.at(4).value);
    inst.d = operands[0].kind == ptx::OperandKind::reg ? destination(operands[0], 32) : temporary(32);
    emit("lop3.b32", inst);
    if (with_predicate) {
      Inst test;
      test.d = inst.d;
      test.a = predicate_source(operands.at(5));
      test.kind = in.parts[1] == "or" ? 2 : 1;
      if (operands[0].second < 0) throw Unsupported("lop3 without its predicate");
      test.extra = register_offset(operands[0].second);
      emit("lop3.pred", test);
    }
    return true;
  }
  if (op == "prmt") {
    static const char* modes[] = {"", "f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
    for (u8 k = 1; k < 7; ++k)
      if (in.has(modes[k])) inst.flags = k;
    inst.a = source(operands.at(1), 32);
    inst.b = source(operands.at(2), 32);
    inst.c = source(operands.at(3), 32);
    inst.d = destination(operands[0], 32);
    emit("prmt.b32", inst);
    return true;
  }
  if (op == "shf") {
    inst.a = source(operands.at(1), 32);
    inst.b = source(operands.at(2), 32);
    inst.c = source(operands.at(3), 32);
    inst.d = destination(operands[0], 32);
    emit(fmt::format("shf.{}.{}.b32", in.parts.at(1), in.parts.at(2)), inst);
    return true;
  }
  if (op == "bmsk") {
    inst.a = source(operands.at(1), 32);
    inst.b = source(operands.at(2), 32);
    inst.flags = in.has("wrap");
    inst.d = destination(operands[0], 32);
    emit("bmsk", inst);
    return true;
  }
  if (op == "dp4a" || op == "dp2a") {
    const std::string a_type = in.parts.at(in.parts.size() - 2);
    inst.a = source(operands.at(1), 32);
    inst.b = source(operands.at(2), 32);
    inst.c = source(operands.at(3), 32);
    inst.flags = in.has("hi");
    inst.d = destination(operands[0], 32);
    emit(op + "." + a_type + "." + type, inst);
    return true;
  }
  if (op == "fns" || op == "szext") {
    inst.a = source(operands.at(1), 32);
    inst.b = source(operands.at(2), 32);
    if (op == "fns") inst.c = source(operands.at(3), 32);
    inst.flags = static_cast<u8>((type == "s32" ? 1 : 0) | (in.has("wrap") ? 2 : 0));
    inst.d = destination(operands[0], 32);
    emit(op, inst);
    return true;
  }
  if (video(in)) return true;
  const int width = width_of_type(type);
  if (op == "bfe" || op == "bfi" || op == "popc" || op == "clz" || op == "bfind" || op == "brev") {
    const bool counts = op == "popc" || op == "clz" || op == "bfind";
    inst.a = source(operands.at(1), width);
    if (op == "bfe") {
      inst.b = source(operands.at(2), 32);
      inst.c = source(operands.at(3), 32);
    } else if (op == "bfi") {
      inst.b = source(operands.at(2), width);
      inst.list = list({source(operands.at(3), 32), source(operands.at(4), 32)});
    }
    inst.d = destination(operands[0], counts ? 32 : width);
    emit(op + (in.has("shiftamt") ? ".shiftamt." : ".") + type, inst);
    return true;
  }
  if (op == "shl" || op == "shr") {
    inst.a = source(operands.at(1), width);
    inst.b = source(operands.at(2), 32);
    inst.d = destination(operands[0], width);
    emit(op + "." + type, inst);
    return true;
  }
  static const std::set<std::string> unary = {"not",   "cnot", "neg", "abs", "sqrt", "rcp",
                                              "rsqrt", "sin",  "cos", "lg2", "ex2",  "tanh"};
  static const std::set<std::string> binary = {"add", "sub", "addc", "subc", "mul", "mul24", "div",
                                               "rem", "min", "max",  "and",  "or",  "xor",   "copysign"};
  static const std::set<std::string> ternary = {"mad", "mad24", "madc", "fma", "sad"};
  const int count = unary.count(op) ? 1 : binary.count(op) ? 2 : ternary.count(op) ? 3 : 0;
  if (count == 0) return false;
  if (operands.size() != static_cast<std::size_t>(count) + 1) throw Unsupported("operand count");
  const bool floats = is_float(type);
  const bool wide = in.has("wide");
  std::string key = op;
  if (!floats) {
    for (const char* part : {"lo", "hi", "wide"})
      if (in.has(part)) key += std::string(".") + part;
    if (in.has("sat")) key += ".sat";
    if (in.has("cc")) key += ".cc";
  } else if (in.has("NaN")) {
    key += ".nan";
  }
  if (in.has("xorsign")) key += ".xorsign";
  key += "." + type;
  inst.a = source(operands.at(1), width, type);
  if (count >= 2) inst.b = source(operands.at(2), width, type);
  if (count >= 3) inst.c = source(operands.at(3), wide ? 2 * width : width, type);
  const int result_width = wide ? 2 * width : width;
  inst.d = destination(operands[0], result_width);
  inst.extra = current_->carry;
  if (is_half(type)) {
    if (in.has("ftz") && (op == "abs" || op == "neg")) throw Unsupported("flushing signs of halves");
    inst.flags = half_flags(in);
    emit(key, inst);
  } else if (floats) {
    emit_rounded(key, inst, rounding_bits(in));
    if (in.has("ftz") && (op == "abs" || op == "neg" || op == "min" || op == "max")) flush(inst.d);  // not arithmetic
    if (in.has("sat")) {
      Inst clamp;
      clamp.a = clamp.d = inst.d;
      emit("saturate." + type, clamp);
    }
  } else {
    emit(key, inst);
    if (in.has("relu")) {
      Inst positive;
      positive.a = positive.d = inst.d;
      emit("relu." + type, positive);
    }
  }
  settle(operands[0], result_width, inst.d);
  return true;
}

// A subnormal float32 becomes a zero of its sign.
void Decoder::flush(u32 at) {
  Inst inst;
  inst.a = inst.d = at;
  emit("flush.f32", inst);
}

}  // namespace tweedie::vgpu
