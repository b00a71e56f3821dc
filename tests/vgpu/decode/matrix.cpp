// Warp-level matrix operations: mma, wmma, ldmatrix, stmatrix, movmatrix.
#include <algorithm>

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
// Tiles of 16 (or 8) by 8 that a shape is made of: along n in the low byte, along m above.
u32 tiles_of(int m, int n) {
  return static_cast<u32>(n / 8) | static_cast<u32>(m == 8 ? 1 : m / 16) << 8;
}
int elements_of(const std::string& type) {
  return type == "tf32" ? 1 : type == "s8" || type == "u8" ? 4 : 2;
}

}  // namespace

// Appends the slots of an operand: one register, or a vector of them.
void Decoder::matrix_registers(const ptx::Operand& operand, int width, bool write, std::vector<u32>& out) {
  auto push = [&](const ptx::Operand& item) { out.push_back(write ? destination(item, width) : source(item, width)); };
  if (operand.kind == ptx::OperandKind::vector)
    for (const auto& item : operand.items) push(item);
  else
    push(operand);
}

bool Decoder::matrix(const ptx::Instruction& in) {
  const std::string& op = in.parts[0];
  Inst inst;
  bool frame_relative = false;
  if (op == "ldmatrix" || op == "stmatrix") {
    const bool load = op == "ldmatrix";
    if (!in.has("m8n8") || in.parts.back() != "b16") throw Unsupported("matrices that are not 8 by 8 of 16 bits");
    inst.count = in.has("x4") ? 4 : in.has("x2") ? 2 : 1;
    inst.flags = in.has("trans") ? 1 : 0;
    std::vector<u32> registers;
    inst.a = address_register(in.operands.at(load ? 1 : 0), 32, inst.imm, frame_relative);
    matrix_registers(in.operands.at(load ? 0 : 1), 32, load, registers);
    inst.list = list(registers);
    emit(op, inst);
    return true;
  }
  if (op == "movmatrix") {
    inst.a = source(in.operands.at(1), 32);
    inst.d = destination(in.operands.at(0), 32);
    emit(op, inst);
    return true;
  }
  if (op == "mma") {
    multiply_matrices(in);
    return true;
  }
  if (op != "wmma") return false;
  const std::string& verb = in.parts.at(1);
  if (verb == "mma")
    multiply_matrices(in);
  else if (verb == "load" || verb == "store")
    move_fragment(in, verb == "load");
  else
    throw Unsupported("wmma." + verb);
  return true;
}

// mma and wmma.mma. The layouts .row and .col of wmma are a matter of its loads.
void Decoder::multiply_matrices(const ptx::Instruction& in) {
  const bool whole_tiles = in.parts[0] == "wmma";
  const Shape shape = shape_of(in);
  // The last four types are those of D, A, B and C (wmma of f16 names D and C only).
  std::vector<std::string> types;
  static const std::set<std::string> words = {"mma",       "wmma", "sync", "aligned", "row", "col",
                                              "satfinite", "xor",  "and",  "popc",    "rn"};
  for (const auto& part : in.parts) {
    const bool shape_word = part.size() > 1 && part[0] == 'm' && std::isdigit(part[1]);
    if (ptx::type_bytes(part) || part == "e4m3" || part == "e5m2" || part == "s4" || part == "u4" || part == "b1")
      types.push_back(part);
    else if (!shape_word && !words.count(part))
      throw Unsupported("mma with " + part);
  }
  if (whole_tiles && types.size() == 2) types = {types[0], "f16", "f16", types[1]};
  if (types.size() != 4 || in.operands.size() != 4) throw Unsupported("this mma");
  std::vector<u32> all;
  program_->sources[source_].mma_flops = static_cast<u32>(2 * shape.m * shape.n * shape.k);
  Inst inst;
  if (types[1] == "f64") {
    const bool small = shape.m == 8 && shape.k == 4;
    if (shape.n != 8 || !(small || (shape.m == 16 && (shape.k == 4 || shape.k == 8 || shape.k == 16))))
      throw Unsupported("this mma of doubles");
    inst.flags = small ? 4 : 0;
    inst.count = static_cast<u8>(shape.k / 4);
    for (std::size_t k = 0; k < 4; ++k) matrix_registers(in.operands.at(k), 64, k == 0, all);
    inst.list = list(all);
    emit("mma.f64", inst);
    return;
  }
  static const std::vector<std::string> narrow = {"s4", "u4", "b1", "e4m3", "e5m2"};
  if (const auto found = std::find(narrow.begin(), narrow.end(), types[1]); found != narrow.end()) {
    const auto other = std::find(narrow.begin(), narrow.end(), types[2]);
    if (whole_tiles || other == narrow.end()) throw Unsupported("this mma");
    multiply_narrow(in, types, static_cast<int>(found - narrow.begin()), static_cast<int>(other - narrow.begin()));
    return;
  }
  const int sub = elements_of(types[1]);
  if (!whole_tiles && (shape.n != 8 || !(shape.m == 16 || (shape.m == 8 && sub == 4)))) throw Unsupported("this mma");
  inst.kind = static_cast<u8>(type_number(types[1]));
  inst.bytes = static_cast<u8>(type_number(types[2]));
  inst.count = static_cast<u8>(shape.k / (4 * sub));
  if (inst.count == 0 || shape.k % (4 * sub)) throw Unsupported("this mma shape");
  inst.flags = static_cast<u8>((types[3] == "f16" ? 1 : 0) | (types[0] == "f16" ? 2 : 0) | (shape.m == 8 ? 4 : 0) |
                               (in.has("satfinite") ? 8 : 0));
  if (in.has("satfinite") && sub != 4) throw Unsupported("a saturating mma of floats");
  inst.extra = tiles_of(shape.m, shape.n);
  std::size_t ends[4];
  for (std::size_t k = 0; k < 4; ++k) {
    matrix_registers(in.operands.at(k), 32, k == 0, all);
    ends[k] = all.size();
  }
  inst.target = static_cast<u32>(ends[1] - ends[0]) | static_cast<u32>(ends[2] - ends[1]) << 8;
  inst.list = list(all);
  emit("mma", inst);
}

// Elements of A and B: 0 s4, 1 u4, 2 bits, 3 e4m3, 4 e5m2; no mixture of integers, bits and floats.
void Decoder::multiply_narrow(const ptx::Instruction& in, const std::vector<std::string>& types, int a, int b) {
  const Shape shape = shape_of(in);
  const auto bits = [](int element) { return element == 2 ? 1 : element < 2 ? 4 : 8; };
  const int block = 4 * 32 / bits(a);
  if (bits(a) != bits(b) || shape.n != 8 || (shape.m != 8 && shape.m != 16) || shape.k % block)
    throw Unsupported("this mma");
  if (a == 2 && !(in.has("popc") && (in.has("xor") || in.has("and")))) throw Unsupported("this mma of bits");
  Inst inst;
  inst.kind = static_cast<u8>(a);
  inst.bytes = static_cast<u8>(b);
  inst.count = static_cast<u8>(shape.k / block);
  inst.flags = static_cast<u8>((types[3] == "f16" ? 1 : 0) | (types[0] == "f16" ? 2 : 0) | (shape.m == 8 ? 4 : 0) |
                               (in.has("satfinite") ? 8 : 0) | (in.has("xor") ? 16 : 0));
  std::vector<u32> all;
  for (std::size_t k = 0; k < 4; ++k) matrix_registers(in.operands.at(k), 32, k == 0, all);
  inst.list = list(all);
  emit("mma.narrow", inst);
}

void Decoder::move_fragment(const ptx::Instruction& in, bool load) {
  const Shape shape = shape_of(in);
  const std::string& type = in.parts.back();
  const bool column_major = in.has("col"), shared = space_of(in) == "shared";
  bool frame_relative = false;
  Inst inst;
  inst.extra = tiles_of(shape.m, shape.n);
  inst.kind = in.has("a") ? 0 : in.has("b") ? 1 : 2;
  inst.bytes = static_cast<u8>(type == "tf32" ? 4 : ptx::type_bytes(type));
  if (inst.bytes == 0) throw Unsupported("wmma of " + type);
  inst.space = static_cast<u8>(inst.bytes == 8 ? 1 : 4 / inst.bytes);
  inst.target = inst.kind == 2 ? 1 : static_cast<u32>(shape.k) / (4u * inst.space);
  inst.flags = static_cast<u8>((column_major ? 1 : 0) | (shared ? 2 : 0) | (shape.m == 8 ? 4 : 0));
  inst.a = address_register(in.operands.at(load ? 1 : 0), shared ? 32 : 64, inst.imm, frame_relative);
  std::vector<u32> all;
  matrix_registers(in.operands.at(load ? 0 : 1), inst.bytes == 8 ? 64 : 32, load, all);
  inst.list = list(all);
  inst.count = static_cast<u8>(all.size());
  if (in.operands.size() > 2) {
    inst.b = source(in.operands[2], 32);
  } else {
    const int rows = inst.kind == 1 ? shape.k : shape.m, columns = inst.kind == 0 ? shape.k : shape.n;
    inst.b = constant(32, static_cast<u64>(column_major ? rows : columns));
  }
  inst.slot = ++program_->memory_slots;
  emit(load ? "wmma.load" : "wmma.store", inst);
}

}  // namespace tweedie::vgpu
