// A parsed PTX module: what the text says, with names resolved to registers but nothing decoded yet.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/types.h"

namespace tweedie::vgpu::ptx {

enum class OperandKind : u8 { none, reg, immediate, symbol, address, vector, list, sink };

struct Operand {
  OperandKind kind = OperandKind::none;
  bool negated = false;   // !%p
  bool is_float = false;  // an immediate written 0f..., 0d... or in decimal with a point
  bool single = false;    // an immediate written 0f...: 32 bits
  int reg = -1;           // reg, or the base of an address
  int second = -1;        // the q of %p|%q
  u64 value = 0;          // immediate, or the offset of an address or symbol
  std::string name;       // symbol, special register, or the base symbol of an address
  std::vector<Operand> items;
};

struct Instruction {
  int guard = -1;
  bool guard_negated = false;
  std::vector<std::string> parts;  // the opcode, split at its points
  std::vector<Operand> operands;
  int file = 0, line = 0;
  std::string text;
  bool has(std::string_view modifier) const {
    for (const auto& part : parts)
      if (part == modifier) return true;
    return false;
  }
};

struct Register {
  std::string name;
  int width = 32;  // bits; 1 for a predicate
};

enum class Space : u8 { generic, global, constant, shared, local, param };

struct Initialiser {  // the address of a symbol stored inside a variable
  u64 offset = 0;
  int bytes = 8, shift = 0;
  bool generic = false;
  std::string symbol;
  i64 addend = 0;
};

struct Variable {
  std::string name;
  Space space = Space::global;
  bool external = false;  // declared elsewhere, or the dynamic shared array
  bool managed = false;
  u32 align = 1;
  u64 size = 0;
  std::vector<u8> bytes;  // initial contents; empty for zeros
  std::vector<Initialiser> addresses;
};

struct Parameter {
  std::string name;
  u32 align = 1;
  u32 size = 0;
  u32 offset = 0;
};

struct Function {
  std::string name;
  u32 number = 0;  // in the module, from 1: what its address is made of
  bool entry = false, defined = false;
  std::vector<Parameter> results, parameters;
  u32 parameter_bytes = 0;  // of an entry: the parameter buffer. Of a function: results, then parameters
  u32 max_threads = 0, min_blocks = 0, required_threads = 0;
  u32 cluster_blocks = 1;  // __cluster_dims__
  std::vector<Register> registers;
  std::vector<Instruction> instructions;
  std::unordered_map<std::string, int> labels;  // to the index of the instruction that follows
  std::map<std::string, Variable> variables;    // .local and demoted .shared
  std::map<std::string, std::vector<std::string>> branch_targets;
  u32 local_bytes = 0;  // of the frame
  std::map<std::string, u32> local_offsets;
};

struct Module {
  int target = 0;  // 80 of sm_80
  std::map<int, std::string> files;
  std::map<std::string, Variable> variables;
  std::map<std::string, std::unique_ptr<Function>> functions;
};

// Throws std::runtime_error naming the line where the text stops being PTX.
std::unique_ptr<Module> parse(std::string_view text);

// Lays parameters (results first) at their natural alignment.
u32 lay_out(std::vector<Parameter>& list, u32 start);

// Bytes of a PTX type name without its point: u8 ... b128, f16x2, bf16 ...; 0 if it is none. Predicates are 0 too.
int type_bytes(std::string_view type);

}  // namespace tweedie::vgpu::ptx
