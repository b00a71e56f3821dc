// cvt, in all its forms.
#include "decode/decoder.h"
#include "decode/types.h"

namespace tweedie::vgpu {

// cvt.rn.satfinite.e4m3x2.f32 d, a, b; .e5m2x2; from .f16x2; and back to .f16x2.
bool Decoder::convert_bytes(const ptx::Instruction& in) {
  const std::string &from = in.parts.back(), &to = in.parts.at(in.parts.size() - 2);
  const auto is_bytes = [](const std::string& type) { return type == "e4m3x2" || type == "e5m2x2"; };
  const bool narrow = is_bytes(to), pair = from == "f16x2";
  if (!narrow && !is_bytes(from)) return false;
  const bool known = in.has("rn") && (narrow ? in.has("satfinite") && (pair || from == "f32") : to == "f16x2");
  if (!known) throw Unsupported("this cvt of 8-bit floats");
  Inst inst;
  inst.flags = static_cast<u8>(((narrow ? to : from) == "e5m2x2" ? 1 : 0) | (pair ? 2 : 0) | (in.has("relu") ? 4 : 0));
  inst.a = source(in.operands.at(1), narrow ? 32 : 16);
  if (narrow && !pair) inst.b = source(in.operands.at(2), 32);
  inst.d = destination(in.operands.at(0), narrow ? 16 : 32);
  emit(narrow ? "cvt.narrow.pair" : "cvt.widen.pair", inst);
  return true;
}

bool Decoder::convert(const ptx::Instruction& in) {
  if (in.parts[0] != "cvt") return false;
  if (convert_bytes(in)) return true;
  if (in.has("satfinite")) throw Unsupported("cvt.satfinite");
  const std::string from = in.parts.back(), to = in.parts.at(in.parts.size() - 2);
  const auto& target = in.operands.at(0);
  std::string mode;
  for (const auto& part : in.parts)
    if (part == "rni" || part == "rzi" || part == "rmi" || part == "rpi") mode = part;
  Inst inst;
  const bool from_float = is_float(from), to_float = is_float(to) || to == "tf32";
  const int from_width = width_of_type(from), to_width = width_of_type(to);
  const u32 control = rounding_bits(in);
  // An 8-bit source stands in a wider register: its byte is cut out first. Gives the type of what is then there.
  auto cut_byte = [&]() -> std::string {
    Inst cut;
    cut.a = inst.a;
    cut.d = temporary(16);
    emit("cvt." + from + ".16.u16", cut);
    inst.a = cut.d;
    return from[0] == 's' ? "s16" : "u16";
  };
  if (in.has("pack")) {  // cvt.pack.sat.narrow.s32[.b32] d, a, b[, c]: a and b clamped, c moved up
    const std::string& narrow = in.parts.at(3);
    inst.a = source(in.operands.at(1), 32);
    inst.b = source(in.operands.at(2), 32);
    inst.c = in.operands.size() > 3 ? source(in.operands[3], 32) : constant(32, 0);
    inst.count = static_cast<u8>(std::atoi(narrow.c_str() + 1));
    inst.flags = narrow[0] == 's';
    if (!in.has("sat") || in.parts.at(4) != "s32") throw Unsupported("this cvt.pack");
    inst.d = destination(target, 32);
    emit("cvt.pack", inst);
    return true;
  }
  if (to == "f16x2" || to == "bf16x2") {
    if (from != "f32") throw Unsupported("cvt to pairs from " + from);
    inst.a = source(in.operands.at(1), 32, from);
    inst.b = source(in.operands.at(2), 32, from);
    inst.flags = static_cast<u8>((in.has("rz") ? 1 : 0) | (in.has("relu") ? 4 : 0));
    inst.d = destination(target, 32);
    emit("cvt." + to + ".f32", inst);
    return true;
  }
  if (to == "tf32") {
    inst.a = source(in.operands.at(1), 32, from);
    inst.d = destination(target, 32);
    inst.flags = in.has("rn") ? 1 : 0;
    emit("cvt.tf32.f32", inst);
    return true;
  }
  if (to_float) {
    inst.d = destination(target, to_width);
    inst.a = source(in.operands.at(1), from_width, from);
    std::string source_type = from;
    if (!from_float && bits_of_type(from) == 8) source_type = cut_byte();
    if (from_float && !mode.empty() && from == to) {
      emit_rounded("cvt." + mode + "." + to + "." + from, inst, control & 0x8040);
    } else if (is_half(to)) {
      if (is_half(from)) {  // by way of float, which holds either
        Inst wide;
        wide.a = inst.a;
        wide.d = temporary(32);
        emit("cvt.f32." + from, wide);
        inst.a = wide.d;
        source_type = "f32";
      }
      inst.flags = static_cast<u8>((in.has("rz")   ? 1
                                    : in.has("rm") ? 2
                                    : in.has("rp") ? 3
                                                   : 0) |
                                   (in.has("relu") ? 4 : 0) | (in.has("sat") ? 8 : 0));
      emit("cvt." + to + "." + source_type, inst);
    } else {
      const std::string key = "cvt." + to + "." + source_type;
      emit_rounded(key, inst, control);
      if (in.has("ftz") && from == "f32" && to == "f32") flush(inst.d);
      if (in.has("sat")) {
        Inst clamp;
        clamp.a = clamp.d = inst.d;
        emit("saturate." + to, clamp);
      }
    }
    settle(target, to_width, inst.d);
    return true;
  }
  // To an integer. 8-bit results live in 16-bit registers or wider; the result is extended to the register's width.
  int register_width = target.kind == ptx::OperandKind::reg ? width_of(target.reg) : to_width;
  if (register_width < to_width) register_width = to_width;
  inst.d = destination(target, register_width);
  inst.a = source(in.operands.at(1), from_width, from);
  const bool exact_width = bits_of_type(to) == register_width;
  if (from_float && exact_width && register_width >= 32 && (from == "f32" || from == "f64")) {
    emit_rounded("cvt." + mode + "." + to + "." + std::to_string(register_width) + "." + from, inst, control & 0x8040);
    settle(target, register_width, inst.d);
    return true;
  }
  if (!from_float && !in.has("sat")) {
    std::string source_type = from;
    if (source_type[0] == 'b') source_type[0] = 'u';
    if (bits_of_type(from) == 8) source_type = cut_byte();
    std::string target_type = to;
    if (target_type[0] == 'b') target_type[0] = 'u';
    const std::string key = fmt::format("cvt.{}.{}.{}", target_type, register_width, source_type);
    if (has_handler(key)) {
      emit(key, inst);
      return true;
    }
    // A register wider than the type: convert in the type's width, then extend.
    Inst narrow = inst;
    narrow.d = temporary(to_width);
    emit(fmt::format("cvt.{}.{}.{}", target_type, to_width, source_type), narrow);
    Inst wide;
    wide.a = narrow.d;
    wide.d = inst.d;
    const bool is_signed = to[0] == 's';
    emit(fmt::format("cvt.u{0}.{0}.{1}{2}", register_width, is_signed ? 's' : 'u', to_width), wide);
    return true;
  }
  int source_bytes = from_width / 8;
  if (!from_float && bits_of_type(from) == 8) {
    cut_byte();
    source_bytes = 2;
  }
  inst.bytes = static_cast<u8>(source_bytes);
  inst.space = static_cast<u8>(bits_of_type(to) / 8);
  inst.count = static_cast<u8>(register_width / 8);
  inst.kind = mode == "rni" ? 0 : mode == "rmi" ? 2 : mode == "rpi" ? 3 : 1;
  inst.flags = static_cast<u8>((from[0] == 's' ? 1 : 0) | (from_float ? 2 : 0) | (from == "bf16" ? 4 : 0) |
                               (to[0] == 's' ? 8 : 0));
  emit("cvt.general", inst);
  return true;
}

}  // namespace tweedie::vgpu
