// Operands: registers, constants, special registers, addresses of variables.
#include <cstring>

#include "decode/decoder.h"

namespace tweedie::vgpu {

bool Decoder::has_handler(const std::string& key) const {
  return find_handler(key) != nullptr;
}

const u32* Decoder::list(const std::vector<u32>& values) {
  auto made = std::make_unique<u32[]>(values.size());
  std::copy(values.begin(), values.end(), made.get());
  program_->lists.push_back(std::move(made));
  return program_->lists.back().get();
}

Inst& Decoder::emit(Handler handler, Inst inst) {
  inst.fn = handler;
  inst.source = source_;
  if (instruction_ && instruction_->guard >= 0 && !inst.guarded) {
    inst.inner = handler;
    inst.fn = find_handler("guarded");
    inst.guarded = 1;
    inst.guard = register_offset(instruction_->guard);
    inst.negated = instruction_->guard_negated;
  }
  program_->code.push_back(inst);
  return program_->code.back();
}

Inst& Decoder::emit(const std::string& key, Inst inst) {
  const Handler handler = find_handler(key);
  if (!handler) throw Unsupported("no handler " + key);
  return emit(handler, inst);
}

u32 Decoder::rounding_bits(const ptx::Instruction& in) const {
  u32 bits = 0;  // MXCSR: 13-14 rounding, 15 flush to zero, 6 denormals are zero
  for (const auto& part : in.parts) {
    if (part == "rz" || part == "rzi") bits |= 3u << 13;
    if (part == "rm" || part == "rmi") bits |= 1u << 13;
    if (part == "rp" || part == "rpi") bits |= 2u << 13;
    if (part == "ftz") bits |= 0x8040;
  }
  return bits;
}

void Decoder::emit_rounded(const std::string& key, Inst inst, u32 control) {
  if (control == 0) {
    emit(key, inst);
    return;
  }
  inst.core = find_handler(key);
  if (!inst.core) throw Unsupported("no handler " + key);
  inst.control = control;
  emit("rounded", inst);
}

u32 Decoder::register_offset(int reg) const {
  const int type = class_of(width_of(reg));
  const int slot = current_->slots.slot[reg];
  // Something reads it that nothing ever writes, or the block is unreachable: any slot will do.
  return slot < 0 ? current_->temporary[type] : current_->base[type] + static_cast<u32>(slot) * kSlotBytes[type];
}

u32 Decoder::temporary(int width) {
  const int type = class_of(width);
  if (used_temporaries_[type] >= kTemporaries - 1) throw Unsupported("too many temporaries");
  return current_->temporary[type] + kSlotBytes[type] * static_cast<u32>(++used_temporaries_[type]);
}

u32 Decoder::constant(int width, u64 value) {
  if (width < 64 && width > 1) value &= (1ull << width) - 1;
  const auto [place, fresh] = constants_.try_emplace({width, value}, 0);
  if (!fresh) return place->second;
  const u32 bytes = width == 1 ? 4 : static_cast<u32>(width) * 4;
  next_offset_ = (next_offset_ + (width == 1 ? 3 : 63)) / (width == 1 ? 4 : 64) * (width == 1 ? 4 : 64);
  place->second = next_offset_;
  next_offset_ += bytes;
  program_->constants.push_back({place->second, static_cast<u8>(width), value});
  return place->second;
}

u32 Decoder::special(const std::string& name, int width) {
  static const std::map<std::string, SpecialKind> kinds = {{"%tid.x", SpecialKind::tid_x},
                                                           {"%tid.y", SpecialKind::tid_y},
                                                           {"%tid.z", SpecialKind::tid_z},
                                                           {"%ntid.x", SpecialKind::ntid_x},
                                                           {"%ntid.y", SpecialKind::ntid_y},
                                                           {"%ntid.z", SpecialKind::ntid_z},
                                                           {"%ctaid.x", SpecialKind::ctaid_x},
                                                           {"%ctaid.y", SpecialKind::ctaid_y},
                                                           {"%ctaid.z", SpecialKind::ctaid_z},
                                                           {"%nctaid.x", SpecialKind::nctaid_x},
                                                           {"%nctaid.y", SpecialKind::nctaid_y},
                                                           {"%nctaid.z", SpecialKind::nctaid_z},
                                                           {"%laneid", SpecialKind::laneid},
                                                           {"%warpid", SpecialKind::warpid},
                                                           {"%nwarpid", SpecialKind::nwarpid},
                                                           {"%smid", SpecialKind::smid},
                                                           {"%nsmid", SpecialKind::nsmid},
                                                           {"%gridid", SpecialKind::gridid},
                                                           {"%lanemask_eq", SpecialKind::lanemask_eq},
                                                           {"%lanemask_le", SpecialKind::lanemask_le},
                                                           {"%lanemask_lt", SpecialKind::lanemask_lt},
                                                           {"%lanemask_ge", SpecialKind::lanemask_ge},
                                                           {"%lanemask_gt", SpecialKind::lanemask_gt},
                                                           {"%dynamic_smem_size", SpecialKind::dynamic_smem},
                                                           {"%total_smem_size", SpecialKind::total_smem},
                                                           // Cooperative groups keep barriers of large tiles there.
                                                           {"%reserved_smem_offset_begin", SpecialKind::zero},
                                                           {"%reserved_smem_offset_0", SpecialKind::zero},
                                                           {"%reserved_smem_offset_1", SpecialKind::zero},
                                                           {"%reserved_smem_offset_end", SpecialKind::reserved_smem},
                                                           {"%reserved_smem_offset_cap", SpecialKind::reserved_smem},
                                                           {"%envreg1", SpecialKind::envreg1},
                                                           {"%envreg2", SpecialKind::envreg2},
                                                           {"%tid.w", SpecialKind::zero},
                                                           {"%ntid.w", SpecialKind::one},
                                                           {"%ctaid.w", SpecialKind::zero},
                                                           {"%nctaid.w", SpecialKind::one},
                                                           // Without clusters every block is a cluster of its own.
                                                           {"%cluster_ctaid.x", SpecialKind::zero},
                                                           {"%cluster_ctaid.y", SpecialKind::zero},
                                                           {"%cluster_ctaid.z", SpecialKind::zero},
                                                           {"%cluster_ctarank", SpecialKind::zero},
                                                           {"%cluster_nctarank", SpecialKind::one},
                                                           {"%cluster_nctaid.x", SpecialKind::one},
                                                           {"%cluster_nctaid.y", SpecialKind::one},
                                                           {"%cluster_nctaid.z", SpecialKind::one},
                                                           {"%is_explicit_cluster", SpecialKind::zero},
                                                           {"%clusterid.x", SpecialKind::ctaid_x},
                                                           {"%clusterid.y", SpecialKind::ctaid_y},
                                                           {"%clusterid.z", SpecialKind::ctaid_z},
                                                           {"%nclusterid.x", SpecialKind::nctaid_x},
                                                           {"%nclusterid.y", SpecialKind::nctaid_y},
                                                           {"%nclusterid.z", SpecialKind::nctaid_z}};
  const auto found = kinds.find(name);
  if (found == kinds.end()) throw Unsupported("special register " + name);
  const auto [place, fresh] = specials_.try_emplace({static_cast<int>(found->second), width}, 0);
  if (!fresh) return place->second;
  next_offset_ = (next_offset_ + 63) / 64 * 64;
  place->second = next_offset_;
  next_offset_ += static_cast<u32>(width) * 4;
  program_->specials.push_back({place->second, static_cast<u8>(width), found->second});
  return place->second;
}

u64 Decoder::symbol_value(const std::string& name, bool& frame_relative, bool& shared) const {
  frame_relative = shared = false;
  if (name == "%outgoing") {
    frame_relative = true;
    return program_->functions[current_index_].local_bytes;
  }
  const ptx::Function& function = *current_->function;
  if (const auto local = function.local_offsets.find(name); local != function.local_offsets.end()) {
    frame_relative = true;
    return current_->incoming + local->second;
  }
  if (const auto found = shared_offset_.find(name); found != shared_offset_.end()) {
    shared = true;
    return found->second;
  }
  for (const auto* parameters : {&function.results, &function.parameters})
    for (const auto& parameter : *parameters)
      if (parameter.name == name) {
        frame_relative = !function.entry;
        return parameter.offset;
      }
  if (const auto found = module_.functions.find(name); found != module_.functions.end())
    return kFunctionWindow + found->second->number;
  if (module_.variables.count(name)) return address_of_(name);
  throw Unsupported("unknown name " + name);
}

u32 Decoder::source(const ptx::Operand& operand, int width, const std::string& type) {
  switch (operand.kind) {
    case ptx::OperandKind::reg: {
      if (width == 1) return predicate_source(operand);
      const int have = width_of(operand.reg);
      const u32 at = register_offset(operand.reg);
      if (have == width) return at;
      if (have == 1) throw Unsupported("a predicate as a value");
      Inst inst;
      inst.d = temporary(width);
      inst.a = at;
      emit(fmt::format("resize.{}.{}", width, have), inst);
      return inst.d;
    }
    case ptx::OperandKind::immediate: {
      u64 value = operand.value;
      if (operand.is_float && !operand.single && type == "f32") {
        double wide;
        std::memcpy(&wide, &value, 8);
        const float narrow = static_cast<float>(wide);
        value = 0;
        std::memcpy(&value, &narrow, 4);
      }
      if (!operand.is_float && (type == "f32" || type == "f64")) throw Unsupported("an integer as a float");
      return constant(width, width == 1 ? value != 0 : value);
    }
    case ptx::OperandKind::symbol: {
      if (operand.name == "WARP_SZ") return constant(width, 32);
      if (operand.name[0] == '%') {
        if (operand.name.rfind("%clock", 0) == 0 || operand.name.rfind("%globaltimer", 0) == 0) {
          Inst inst;
          inst.d = temporary(width);
          inst.flags = operand.name.size() > 3 && operand.name.substr(operand.name.size() - 3) == "_hi";
          emit(fmt::format("{}.{}", operand.name.rfind("%clock", 0) == 0 ? "clock" : "globaltimer", width), inst);
          return inst.d;
        }
        return special(operand.name, width);
      }
      bool frame_relative, shared;
      const u64 value = symbol_value(operand.name, frame_relative, shared) + operand.value;
      if (!frame_relative) return constant(width, value);
      Inst inst;
      inst.d = temporary(width);
      inst.imm = static_cast<i64>(value);
      emit(fmt::format("frame.{}", width), inst);
      return inst.d;
    }
    default:
      throw Unsupported("an operand of unexpected form");
  }
}

u32 Decoder::predicate_source(const ptx::Operand& operand) {
  if (operand.kind == ptx::OperandKind::immediate) return constant(1, operand.value != 0);
  if (operand.kind != ptx::OperandKind::reg || width_of(operand.reg) != 1) throw Unsupported("a predicate is expected");
  const u32 at = register_offset(operand.reg);
  if (!operand.negated) return at;
  Inst inst;
  inst.d = temporary(1);
  inst.a = inst.b = at;
  emit("not.pred", inst);
  return inst.d;
}

u32 Decoder::destination(const ptx::Operand& operand, int width) {
  if (operand.kind == ptx::OperandKind::sink) return temporary(width);
  if (operand.kind != ptx::OperandKind::reg) throw Unsupported("a destination that is no register");
  const int have = width_of(operand.reg);
  if (have == width) return register_offset(operand.reg);
  if (have == 1 || width == 1) throw Unsupported("a predicate as a value");
  return temporary(width);
}

void Decoder::settle(const ptx::Operand& operand, int width, u32 at, bool is_signed) {
  if (operand.kind != ptx::OperandKind::reg || width_of(operand.reg) == width) return;
  const int have = width_of(operand.reg);
  Inst inst;
  inst.d = register_offset(operand.reg);
  inst.a = at;
  if (is_signed && have > width)
    emit(fmt::format("cvt.s{0}.{0}.s{1}", have, width), inst);
  else
    emit(fmt::format("resize.{}.{}", have, width), inst);
}

u32 Decoder::sink(const ptx::Operand& operand, int width) {
  if (operand.kind == ptx::OperandKind::sink) return kFull;
  if (operand.kind != ptx::OperandKind::reg || width_of(operand.reg) != width) throw Unsupported("destination width");
  return register_offset(operand.reg);
}

}  // namespace tweedie::vgpu
