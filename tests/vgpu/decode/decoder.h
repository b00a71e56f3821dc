// From a parsed kernel to a Program: the functions it reaches are laid out callees first, registers become slots,
// names become constants, and each instruction becomes one or a few handlers.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "decode/flow.h"
#include "exec/handlers.h"
#include "exec/machine.h"
#include "ptx/module.h"

namespace tweedie::vgpu {

// The device address of a module-scope variable.
using AddressOf = std::function<u64(const std::string&)>;

std::unique_ptr<Program> decode(const ptx::Module& module, const ptx::Function& kernel, const AddressOf& address_of);

class Decoder {
 public:
  Decoder(const ptx::Module& module, const ptx::Function& kernel, const AddressOf& address_of);
  std::unique_ptr<Program> run();

 private:
  struct Body {
    const ptx::Function* function;
    Flow flow;
    Slots slots;
    u32 base[kClasses] = {};       // of each register class in the file
    u32 temporary[kClasses] = {};  // first of the temporaries of each class
    u32 carry = 0;
    u32 incoming = 0;  // bytes of parameters at the start of the local frame
    std::map<int, u32> label_of_block;
    std::set<std::string> callees;
    bool calls_pointers = false;
  };
  static constexpr int kTemporaries = 6;

  // decoder.cpp: the whole
  void collect();
  void lay_out_frames();
  void lay_out_shared();
  void emit_body(int index);
  void emit_instruction(const ptx::Instruction& in);
  void finish_targets();

  // operands.cpp
  Inst& emit(Handler handler, Inst inst);
  Inst& emit(const std::string& key, Inst inst);  // throws Unsupported when there is no such handler
  u32 source(const ptx::Operand& operand, int width, const std::string& type = "");
  u32 destination(const ptx::Operand& operand, int width);  // a temporary when the register is of another width
  void settle(const ptx::Operand& operand, int width, u32 at, bool is_signed = false);  // copies that temporary back
  u32 sink(const ptx::Operand& operand, int width);                                     // kFull for "_"
  u32 predicate_source(const ptx::Operand& operand);
  u32 constant(int width, u64 value);
  u32 special(const std::string& name, int width);
  u32 temporary(int width);
  u32 register_offset(int reg) const;
  int width_of(int reg) const { return current_->function->registers[reg].width; }
  u64 symbol_value(const std::string& name, bool& frame_relative, bool& shared) const;
  const u32* list(const std::vector<u32>& values);
  bool has_handler(const std::string& key) const;
  u32 rounding_bits(const ptx::Instruction& in) const;
  void emit_rounded(const std::string& key, Inst inst, u32 control);

  // modifiers.cpp
  void check_modifiers(const ptx::Instruction& in) const;  // throws Unsupported for one that nothing looks at

  // arithmetic.cpp
  bool arithmetic(const ptx::Instruction& in);
  bool video(const ptx::Instruction& in);
  bool compare(const ptx::Instruction& in);
  bool convert(const ptx::Instruction& in);
  bool convert_bytes(const ptx::Instruction& in);
  bool move(const ptx::Instruction& in);
  void flush(u32 at);

  // memory.cpp
  bool memory(const ptx::Instruction& in);
  bool atomic(const ptx::Instruction& in);
  bool wide_atomic(const ptx::Instruction& in);
  bool async_copy(const ptx::Instruction& in);
  bool bulk_copy(const ptx::Instruction& in);
  u32 address_register(const ptx::Operand& operand, int width, i64& offset, bool& frame_relative);
  u8 ordering_of(const ptx::Instruction& in) const;
  std::string space_of(const ptx::Instruction& in) const;

  // control.cpp, matrix.cpp
  bool control(const ptx::Instruction& in);
  bool warp(const ptx::Instruction& in);
  bool matrix(const ptx::Instruction& in);
  void matrix_registers(const ptx::Operand& operand, int width, bool write, std::vector<u32>& out);
  void multiply_matrices(const ptx::Instruction& in);
  void multiply_narrow(const ptx::Instruction& in, const std::vector<std::string>& types, int a, int b);
  void move_fragment(const ptx::Instruction& in, bool load);
  void call(const ptx::Instruction& in);

  InstClass classify(const ptx::Instruction& in) const;

  const ptx::Module& module_;
  const ptx::Function& kernel_;
  const AddressOf& address_of_;
  std::unique_ptr<Program> program_;
  std::vector<Body> bodies_;  // by function index: 0 is the kernel
  std::map<std::string, int> index_of_;
  std::map<std::string, u32> shared_offset_;
  std::map<std::pair<int, u64>, u32> constants_;
  std::map<std::pair<int, int>, u32> specials_;
  u32 next_offset_ = 0;  // in the register file
  Body* current_ = nullptr;
  int current_index_ = 0;
  const ptx::Instruction* instruction_ = nullptr;
  u32 source_ = 0;
  int used_temporaries_[kClasses] = {};
  struct Fix {
    u32 inst;
    int function, block;
    u32* place;  // instead of inst.target
  };
  std::vector<Fix> fixes_;
};

}  // namespace tweedie::vgpu
