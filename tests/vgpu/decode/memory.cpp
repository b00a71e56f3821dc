// Loads, stores, atomics and asynchronous copies.
#include "decode/decoder.h"

namespace tweedie::vgpu {

// "global" covers generic and constant addresses: all are looked up in the same table.
std::string Decoder::space_of(const ptx::Instruction& in) const {
  for (const auto& part : in.parts) {
    if (part.rfind("shared", 0) == 0) {
      if (part == "shared::cluster") return "shared";
      return "shared";
    }
    if (part == "local" || part == "param") return part;
    if (part.rfind("param", 0) == 0) return "param";
  }
  return "global";
}

u8 Decoder::ordering_of(const ptx::Instruction& in) const {
  u8 bits = in.has("volatile") ? kVolatile : 0;
  if (in.has("relaxed") || in.has("mmio")) bits |= kStrong;
  if (in.has("acquire") || in.has("acq_rel")) bits |= kStrong | kAcquire;
  if (in.has("release") || in.has("acq_rel")) bits |= kStrong | kRelease;
  return bits;
}

// The register that holds the base (a constant 0 where there is none), the offset to add, and whether the address
// counts from the local frame.
u32 Decoder::address_register(const ptx::Operand& operand, int width, i64& offset, bool& frame_relative) {
  if (operand.kind != ptx::OperandKind::address) throw Unsupported("an address is expected");
  frame_relative = false;
  offset = static_cast<i64>(operand.value);
  if (operand.reg >= 0) return source({ptx::OperandKind::reg, false, false, false, operand.reg, -1, 0, {}, {}}, width);
  if (operand.name.empty()) return constant(width, 0);
  bool shared;
  const u64 value = symbol_value(operand.name, frame_relative, shared);
  if (static_cast<i64>(value) < 0 || (value >> 62)) throw Unsupported("address of " + operand.name);
  offset += static_cast<i64>(value);
  return constant(width, 0);
}

bool Decoder::memory(const ptx::Instruction& in) {
  const std::string& op = in.parts[0];
  if (op != "ld" && op != "st" && op != "ldu") return false;
  const bool load = op != "st";
  const std::string& type = in.parts.back();
  const int bytes = ptx::type_bytes(type);
  if (bytes == 0) throw Unsupported("type " + type);
  std::string space = space_of(in);
  const auto& place = in.operands.at(load ? 1 : 0);
  const auto& value = in.operands.at(load ? 0 : 1);
  Inst inst;
  bool frame_relative = false;
  if (space == "param" && (!current_->function->entry || place.name == "%outgoing")) space = "local";
  if (space == "param" && place.reg >= 0) {  // an address within the parameters: as a generic one
    Inst window;
    window.a = source({ptx::OperandKind::reg, false, false, false, place.reg, -1, 0, {}, {}}, 64);
    window.b = constant(64, kParamWindow);
    window.d = temporary(64);
    emit("or.b64", window);
    inst.a = window.d;
    inst.imm = static_cast<i64>(place.value);
    space = "global";
  } else {
    inst.a = address_register(place, space == "shared" ? 32 : 64, inst.imm, frame_relative);
  }
  inst.flags = frame_relative ? 1 : 0;
  // A plain ld or st of a shared variable by name is a generic access to the window.
  if (space == "global" && place.reg < 0 && shared_offset_.count(place.name)) {
    inst.imm += static_cast<i64>(kSharedWindow);
  } else if (space == "global" && frame_relative) {
    space = "local";
  }
  inst.slot = ++program_->memory_slots;
  inst.ordering = ordering_of(in);
  inst.bytes = static_cast<u8>(bytes);
  inst.kind = load && type[0] == 's';
  std::vector<const ptx::Operand*> items;
  if (value.kind == ptx::OperandKind::vector)
    for (const auto& item : value.items) items.push_back(&item);
  else
    items.push_back(&value);
  if (items.size() > 4) throw Unsupported("vectors of eight");
  inst.count = static_cast<u8>(items.size());
  // All elements share one register width, the widest; narrower ones go through temporaries.
  int width = 0;
  for (const auto* item : items)
    if (item->kind == ptx::OperandKind::reg) width = std::max(width, width_of(item->reg));
  if (width == 0) width = bytes <= 2 ? 16 : 8 * bytes;
  if (width < 8 * bytes) throw Unsupported("a register narrower than the access");
  std::vector<u32> offsets;
  for (const auto* item : items) {
    if (load)
      offsets.push_back(item->kind == ptx::OperandKind::sink ? kFull : destination(*item, width));
    else
      offsets.push_back(source(*item, width, type));
  }
  inst.control = static_cast<u32>(width);
  if (items.size() > 1)
    inst.list = list(offsets);
  else
    inst.d = offsets[0] == kFull ? temporary(width) : offsets[0];
  emit(fmt::format("{}.{}.{}.{}", load ? "ld" : "st", space, bytes, width), inst);
  if (load)
    for (std::size_t k = 0; k < items.size(); ++k)
      if (offsets[k] != kFull) settle(*items[k], width, offsets[k]);
  return true;
}

bool Decoder::atomic(const ptx::Instruction& in) {
  const std::string& op = in.parts[0];
  if (op != "atom" && op != "red") return false;
  const bool returns = op == "atom";
  if (in.parts.back() == "b128") return wide_atomic(in);
  std::string type = in.parts.back(), operation;
  static const std::set<std::string> names = {"add", "exch", "cas", "and", "or", "xor", "inc", "dec", "min", "max"};
  for (const auto& part : in.parts)
    if (names.count(part)) operation = part;
  if (type[0] == 'b' && operation != "exch" && operation != "cas" && type != "bf16" && type != "bf16x2" &&
      (operation == "add" || operation == "min" || operation == "max"))
    type[0] = 'u';
  if ((type[0] == 'u' || type[0] == 's') &&
      (operation == "exch" || operation == "cas" || operation == "and" || operation == "or" || operation == "xor"))
    type[0] = 'b';
  if (type == "f32" && operation == "exch") type = "b32";
  Inst inst;
  u32 bytes = 0;
  inst.operation = atomic_operation(operation + "." + type, bytes);
  if (!inst.operation) throw Unsupported(operation + "." + type);
  const std::size_t at = returns ? 1 : 0;
  bool frame_relative = false;
  inst.space = space_of(in) == "shared";
  const auto& place = in.operands.at(at);
  inst.a = address_register(place, inst.space ? 32 : 64, inst.imm, frame_relative);
  if (!inst.space && place.reg < 0 && shared_offset_.count(place.name)) inst.imm += static_cast<i64>(kSharedWindow);
  inst.slot = ++program_->memory_slots;
  inst.ordering = ordering_of(in) | kStrong;
  inst.bytes = static_cast<u8>(bytes);
  const int width = static_cast<int>(bytes) * 8;
  const auto& value = in.operands.at(at + 1);
  inst.d = kFull;
  if (value.kind == ptx::OperandKind::vector) {
    std::vector<u32> values, results;
    for (const auto& item : value.items) values.push_back(source(item, width, type));
    inst.count = static_cast<u8>(values.size());
    if (returns && in.operands[0].kind == ptx::OperandKind::vector)
      for (const auto& item : in.operands[0].items) results.push_back(sink(item, width));
    results.resize(values.size(), kFull);
    values.insert(values.end(), results.begin(), results.end());
    inst.list = list(values);
  } else {
    inst.b = source(value, width, type);
    if (operation == "cas") inst.c = source(in.operands.at(at + 2), width, type);
    if (returns && in.operands[0].kind != ptx::OperandKind::sink) inst.d = destination(in.operands[0], width);
  }
  emit(fmt::format("atom.{}", bytes), inst);
  if (inst.d != kFull) settle(in.operands[0], width, inst.d);
  return true;
}

// Exchanges of 128 bits.
bool Decoder::wide_atomic(const ptx::Instruction& in) {
  Inst inst;
  bool frame_relative = false;
  const bool exchange = in.has("exch");
  if (in.parts[0] != "atom" || (!exchange && !in.has("cas"))) throw Unsupported("this operation on 128 bits");
  inst.kind = exchange ? 0 : 1;
  inst.space = space_of(in) == "shared";
  inst.a = address_register(in.operands.at(1), inst.space ? 32 : 64, inst.imm, frame_relative);
  inst.slot = ++program_->memory_slots;
  inst.ordering = ordering_of(in) | kStrong;
  inst.b = source(in.operands.at(2), 128);
  if (!exchange) inst.c = source(in.operands.at(3), 128);
  inst.d = sink(in.operands[0], 128);
  emit("atom.16", inst);
  return true;
}

// cp.async.bulk between global memory and the block's own shared memory, without tensors or clusters.
bool Decoder::bulk_copy(const ptx::Instruction& in) {
  Inst inst;
  if (in.has("commit_group") || in.has("wait_group") || (in.has("prefetch") && !in.has("tensor"))) {
    emit("nop", inst);  // copies to global memory are done when they are issued
    return true;
  }
  std::vector<std::string> spaces;
  for (const auto& part : in.parts)
    if (part == "global" || part.rfind("shared", 0) == 0) spaces.push_back(part);
  const bool known = in.parts.at(1) == "async" && in.parts.at(2) == "bulk" && spaces.size() == 2;
  if (!known || in.has("tensor") || in.has("multicast::cluster") || in.has("cp_mask") || in.has("ignore_oob"))
    throw Unsupported("this bulk copy");
  const bool load = spaces[1] == "global" && spaces[0] != "global";
  if (!load && !(spaces[0] == "global" && spaces[1] == "shared::cta")) throw Unsupported("this bulk copy");
  bool frame_relative = false;
  i64 shared_offset = 0, global_offset = 0, barrier_offset = 0;
  inst.a = address_register(in.operands.at(load ? 0 : 1), 32, shared_offset, frame_relative);
  inst.b = address_register(in.operands.at(load ? 1 : 0), 64, global_offset, frame_relative);
  inst.c = source(in.operands.at(2), 32);
  const u32 barrier = load ? address_register(in.operands.at(3), 32, barrier_offset, frame_relative) : 0;
  inst.list = list({barrier, static_cast<u32>(barrier_offset), static_cast<u32>(shared_offset)});
  inst.imm = global_offset;
  emit(load ? "bulk.load" : "bulk.store", inst);
  return true;
}

bool Decoder::async_copy(const ptx::Instruction& in) {
  const std::string& op = in.parts[0];
  const auto& operands = in.operands;
  bool frame_relative = false;
  Inst inst;
  if (op == "cp") {
    if (in.has("bulk")) return bulk_copy(in);
    if (!in.has("async")) throw Unsupported("this cp");
    if (in.has("mbarrier")) {
      inst.a = address_register(operands.at(0), 32, inst.imm, frame_relative);
      inst.kind = in.has("noinc") ? 7 : 6;
      emit("mbarrier", inst);
      return true;
    }
    if (in.has("commit_group")) {
      emit("cp.async.commit", inst);
      return true;
    }
    if (in.has("wait_group") || in.has("wait_all")) {
      inst.imm = in.has("wait_all") ? -1 : static_cast<i64>(operands.at(0).value);
      emit("cp.async.wait", inst);
      return true;
    }
    i64 source_offset = 0;
    inst.a = address_register(operands.at(0), 32, inst.imm, frame_relative);
    inst.b = address_register(operands.at(1), 64, source_offset, frame_relative);
    if (source_offset != static_cast<i32>(source_offset)) throw Unsupported("a far offset");
    inst.extra = static_cast<u32>(source_offset);
    inst.bytes = static_cast<u8>(operands.at(2).value);
    inst.slot = ++program_->memory_slots;
    std::size_t more = operands.size() - 3;
    for (const auto& part : in.parts)
      if (part.find("cache_hint") != std::string::npos && more) --more;
    if (more) {
      const auto& size = operands.at(3);
      inst.count = 2;
      if (size.kind == ptx::OperandKind::reg && width_of(size.reg) == 1) {
        inst.flags = 2;
        inst.c = predicate_source(size);
      } else {
        inst.c = source(size, 32);
      }
    }
    emit("cp.async", inst);
    return true;
  }
  if (op != "mbarrier") return false;
  const std::string& verb = in.parts.at(1);
  if (in.has("shared::cluster")) throw Unsupported("barriers of other blocks");
  if (verb == "pending_count") {
    inst.kind = 8;
    inst.a = source(operands.at(1), 64);
    inst.d = destination(operands[0], 32);
    emit("mbarrier", inst);
    return true;
  }
  auto place = [&](const ptx::Operand& operand) {
    // The low half of a generic address of the shared window is the offset itself.
    inst.a = address_register(operand, 32, inst.imm, frame_relative);
  };
  if (verb == "init" || verb == "inval") {
    inst.kind = verb == "init" ? 0 : 1;
    place(operands.at(0));
    if (verb == "init") {
      inst.count = 2;
      inst.b = source(operands.at(1), 32);
    }
  } else if (verb == "arrive" || verb == "arrive_drop") {
    inst.kind = verb == "arrive" ? 2 : 3;
    inst.d = operands.at(0).kind == ptx::OperandKind::sink ? kFull : destination(operands[0], 64);
    place(operands.at(1));
    inst.flags = in.has("expect_tx");  // then the operand counts bytes to come
    if (operands.size() > 2) {
      inst.count = 2;
      inst.b = source(operands[2], 32);
    }
  } else if (verb == "expect_tx" || verb == "complete_tx") {
    inst.kind = verb == "expect_tx" ? 9 : 10;
    place(operands.at(0));
    inst.b = source(operands.at(1), 32);
  } else if (verb == "test_wait" || verb == "try_wait") {
    const bool parity = in.has("parity");
    inst.kind = parity ? 5 : 4;
    inst.d = destination(operands.at(0), 1);
    place(operands.at(1));
    inst.b = source(operands.at(2), parity ? 32 : 64);
  } else {
    throw Unsupported("mbarrier." + verb);
  }
  emit("mbarrier", inst);
  return true;
}

}  // namespace tweedie::vgpu
