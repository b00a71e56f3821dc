// Control flow of a PTX function: basic blocks in an order where loops are contiguous and, back edges apart, every
// block stands before its successors; and the slots of its registers in a warp's file.
#pragma once
#include <vector>

#include "exec/machine.h"
#include "ptx/module.h"

namespace tweedie::vgpu {

struct BasicBlock {
  int begin = 0, end = 0;  // instructions
  std::vector<int> successors, predecessors;
};

struct Flow {
  std::vector<BasicBlock> blocks;  // as in the text
  std::vector<int> order;          // reachable blocks, in the order of the code
  std::vector<int> block_of;       // by instruction
};

Flow analyse_flow(const ptx::Function& function);

// The registers that an instruction reads and writes. A guarded write also reads: the other lanes keep their values.
void registers_of(const ptx::Instruction& instruction, std::vector<int>& reads, std::vector<int>& writes);

struct Slots {
  std::vector<int> slot;     // by register, within its class; -1 for one that is never used
  int count[kClasses] = {};  // slots of predicates, then of 16-, 32-, 64- and 128-bit registers
};
inline int class_of(int width) {
  return width == 1 ? 0 : width == 16 ? 1 : width == 32 ? 2 : width == 64 ? 3 : 4;
}

Slots allocate_slots(const ptx::Function& function, const Flow& flow);

}  // namespace tweedie::vgpu
