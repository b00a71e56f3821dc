// Warp-level matrix operations: mma, wmma, ldmatrix, stmatrix, movmatrix.
#include "decode/decoder.h"

namespace tweedie::vgpu {
namespace {

struct Shape {
  int m = 0, n = 0, k = 0;
};
Shape shape_of(const ptx::Instruction& in) {
  for (const auto& part : in.parts) {
    Shape shape;
    if (part.size() > 5 && part[0] == 'm' && std::sscanf(part.c_str(), "m%dn%dk%d", &shape.m, &shape.n, &shape.k) == 3)
      return shape;
  }
  throw Unsupported("a matrix shape");
}

int type_number(const std::string& type) {
  static const std::map<std::string, int> numbers = {{"bf16", 0}, {"f16", 1}, {"tf32", 2}, {"s8", 3}, {"u8", 4}};
  const auto found = numbers.find(type);
  if (found == numbers.end()) throw Unsupported("matrices of " + type);
  return found->second;
}
int elements_of(const std::string& type) {
  return type == "tf32" ? 1 : type == "s8" || type == "u8" ? 4 : 2;
}

}  // namespace

bool Decoder::matrix(const ptx::Instruction& in) {
  const std::string& op = in.parts[0];
  const auto& operands = in.operands;
  Inst inst;
  bool frame_relative = false;
  auto registers = [&](const ptx::Operand& operand, int width, bool write, std::vector<u32>& out) {
    if (operand.kind == ptx::OperandKind::vector) {
      for (const auto& item : operand.items) out.push_back(write ? destination(item, width) : source(item, width));
    } else {
      out.push_back(write ? destination(operand, width) : source(operand, width));
    }
  };
  if (op == "ldmatrix" || op == "stmatrix") {
    const bool load = op == "ldmatrix";
    if (!in.has("m8n8") || in.parts.back() != "b16") throw Unsupported("matrices that are not 8 by 8 of 16 bits");
    inst.count = in.has("x4") ? 4 : in.has("x2") ? 2 : 1;
    inst.flags = in.has("trans") ? 1 : 0;
    std::vector<u32> list_of;
    inst.a = address_register(operands.at(load ? 1 : 0), 32, inst.imm, frame_relative);
    registers(operands.at(load ? 0 : 1), 32, load, list_of);
    inst.list = list(list_of);
    emit(op, inst);
    return true;
  }
  if (op == "movmatrix") {
    inst.a = source(operands.at(1), 32);
    inst.d = destination(operands.at(0), 32);
    emit(op, inst);
    return true;
  }
  if (op == "mma") {
    const Shape shape = shape_of(in);
    // The last four types are those of D, A, B and C; a kind or an operator may follow the shape.
    std::vector<std::string> types;
    for (const auto& part : in.parts)
      if (ptx::type_bytes(part) || part == "e4m3" || part == "e5m2" || part == "s4" || part == "u4" || part == "b1")
        types.push_back(part);
    if (types.size() != 4 || in.has("sp") || in.has("satfinite") || in.has("xor")) throw Unsupported("this mma");
    if (types[1] == "f64") {
      if (shape.m != 8 || shape.n != 8 || shape.k != 4) throw Unsupported("this mma of doubles");
      std::vector<u32> all;
      for (std::size_t k = 0; k < 4; ++k) registers(operands.at(k), 64, k == 0, all);
      inst.list = list(all);
      program_->sources[source_].mma_flops = 2 * 8 * 8 * 4;
      emit("mma.f64", inst);
      return true;
    }
    if (shape.n != 8 || (shape.m != 16 && shape.m != 8)) throw Unsupported("this mma shape");
    const int a_type = type_number(types[1]), b_type = type_number(types[2]), sub = elements_of(types[1]);
    if (shape.m == 8 && sub != 4) throw Unsupported("mma.m8n8 of this type");
    inst.kind = static_cast<u8>(a_type);
    inst.bytes = static_cast<u8>(b_type);
    inst.count = static_cast<u8>(shape.k / (4 * sub));
    if (inst.count == 0 || shape.k % (4 * sub)) throw Unsupported("this mma shape");
    inst.flags = static_cast<u8>((types[3] == "f16" ? 1 : 0) | (types[0] == "f16" ? 2 : 0) | (shape.m == 8 ? 4 : 0));
    inst.extra = 1 | 1 << 8;
    const u32 halves = shape.m == 8 ? 1 : 2;
    inst.target = inst.count * halves | static_cast<u32>(inst.count) << 8;
    std::vector<u32> all;
    for (std::size_t k = 0; k < 4; ++k) registers(operands.at(k), 32, k == 0, all);
    inst.list = list(all);
    program_->sources[source_].mma_flops = static_cast<u32>(2 * shape.m * shape.n * shape.k);
    emit("mma", inst);
    return true;
  }
  if (op != "wmma") return false;
  const Shape shape = shape_of(in);
  const u32 n_tiles = static_cast<u32>(shape.n / 8), m_tiles = shape.m == 8 ? 1 : static_cast<u32>(shape.m / 16);
  inst.extra = n_tiles | m_tiles << 8;
  inst.flags = shape.m == 8 ? 4 : 0;
  const std::string& verb = in.parts.at(1);
  if (verb == "mma") {
    // .row.col layouts are a matter of the loads. Types: D, A, B, C; two of them for f16 (D and C).
    std::vector<std::string> types;
    for (const auto& part : in.parts)
      if (ptx::type_bytes(part)) types.push_back(part);
    if (types.size() == 2) types = {types[0], "f16", "f16", types[1]};
    if (types.size() != 4 || in.has("satfinite")) throw Unsupported("this wmma");
    const int sub = elements_of(types[1]);
    inst.kind = static_cast<u8>(type_number(types[1]));
    inst.bytes = static_cast<u8>(type_number(types[2]));
    inst.count = static_cast<u8>(shape.k / (4 * sub));
    inst.flags |= static_cast<u8>((types[3] == "f16" ? 1 : 0) | (types[0] == "f16" ? 2 : 0));
    std::vector<u32> all;
    registers(operands.at(0), 32, true, all);
    const std::size_t before_a = all.size();
    registers(operands.at(1), 32, false, all);
    const std::size_t before_b = all.size();
    registers(operands.at(2), 32, false, all);
    const std::size_t before_c = all.size();
    registers(operands.at(3), 32, false, all);
    inst.target = static_cast<u32>(before_b - before_a) | static_cast<u32>(before_c - before_b) << 8;
    inst.list = list(all);
    program_->sources[source_].mma_flops = static_cast<u32>(2 * shape.m * shape.n * shape.k);
    emit("mma", inst);
    return true;
  }
  const bool load = verb == "load";
  if (!load && verb != "store") throw Unsupported("wmma." + verb);
  const std::string& type = in.parts.back();
  const bool column_major = in.has("col");
  inst.kind = in.has("a") ? 0 : in.has("b") ? 1 : 2;
  inst.bytes = static_cast<u8>(type == "tf32" ? 4 : ptx::type_bytes(type));
  inst.space = static_cast<u8>(4 / inst.bytes);
  inst.target = inst.kind == 2 ? 1 : static_cast<u32>(shape.k) / (4u * inst.space);
  if (inst.bytes > 4) throw Unsupported("wmma of doubles");
  inst.flags |= static_cast<u8>(column_major ? 1 : 0);
  const auto& place = operands.at(load ? 1 : 0);
  const bool shared = space_of(in) == "shared";
  if (shared) inst.flags |= 2;
  inst.a = address_register(place, shared ? 32 : 64, inst.imm, frame_relative);
  std::vector<u32> all;
  registers(operands.at(load ? 0 : 1), 32, load, all);
  inst.list = list(all);
  inst.count = static_cast<u8>(all.size());
  if (operands.size() > 2) {
    inst.b = source(operands[2], 32);
  } else {
    const int rows = inst.kind == 1 ? shape.k : shape.m, columns = inst.kind == 0 ? shape.k : shape.n;
    inst.b = constant(32, static_cast<u64>(column_major ? rows : columns));
  }
  inst.slot = ++program_->memory_slots;
  emit(load ? "wmma.load" : "wmma.store", inst);
  return true;
}

}  // namespace tweedie::vgpu
