// The state of a launch: decoded program, blocks, warps and their splits.
//
// A register is an array of 32 lanes in its warp's file (a predicate is one 32-bit mask). A warp is a set of splits,
// each with its lanes, its place in the code and its call stack; the split that stands lowest in the code runs first,
// so that the others are met and joined on the way.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/memory.h"
#include "core/shadow.h"
#include "core/types.h"

namespace tweedie::vgpu {

struct Inst;
struct Warp;
struct Block;
struct Worker;
struct Launch;
struct Program;
// Executes one instruction for the lanes in warp.mask and gives the next one; null gives control to the scheduler,
// with warp.stop and warp.resume set.
using Handler = const Inst* (*)(Warp&, const Inst*);

struct Inst {
  Handler fn = nullptr;
  u32 d = 0, a = 0, b = 0, c = 0;  // byte offsets of operands in the register file
  i64 imm = 0;
  Handler inner = nullptr;    // of a guarded instruction: what runs where the guard holds
  Handler core = nullptr;     // of a float instruction with a rounding mode: what runs under it
  const u32* list = nullptr;  // further operand offsets
  void* operation = nullptr;  // of an atomic instruction
  u32 target = 0;             // a branch's instruction number
  u32 guard = 0;              // offset of the predicate
  u32 control = 0;            // MXCSR bits for `core`; of a load or store, the bits of its registers
  u32 source = 0;             // index into Program::sources
  u32 slot = 0;               // number among the memory instructions, for the worker's range cache
  u32 extra = 0;              // per instruction: a second destination, a table index, ...
  u8 count = 1, guarded = 0, negated = 0, kind = 0;
  u8 space = 0, bytes = 0, flags = 0, backward = 0;
  u8 ordering = 0;  // of a load, a store or an atomic: kStrong ...
};
// Strong accesses do not race with one another; an acquire sees what happened before the release of what it reads.
// Volatile ones are strong in global memory; in shared memory they are the mark of code that forgot __syncwarp.
constexpr u8 kStrong = 1, kAcquire = 2, kRelease = 4, kVolatile = 8;

enum class InstClass : u8 {
  integer,
  floating,
  half,
  twice,
  convert,
  move,
  predicate,
  special,
  load_global,
  store_global,
  load_shared,
  store_shared,
  local,
  atomic,
  warp,
  matrix,
  barrier,
  control,
  other,
  count
};
const char* name_of(InstClass type);

struct Source {
  std::string text, function;
  int file = 0, line = 0;
  InstClass type = InstClass::other;
  u32 mma_flops = 0;    // of the whole warp
  bool counted = true;  // false for what decoding adds
};

struct Constant {
  u32 offset;
  u8 width;  // bits
  u64 value;
};
enum class SpecialKind : u8 {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  smid,
  nsmid,
  gridid,
  lanemask_eq,
  lanemask_le,
  lanemask_lt,
  lanemask_ge,
  lanemask_gt,
  dynamic_smem,
  total_smem,
  reserved_smem,
  envreg1,
  envreg2,
  zero,
  one
};
struct Special {
  u32 offset;
  u8 width;
  SpecialKind kind;
};

// Classes of registers: predicates, then 16, 32, 64 and 128 bits; and the bytes of one for a warp.
constexpr int kClasses = 5;
constexpr u32 kSlotBytes[kClasses] = {4, 64, 128, 256, 512};

struct FunctionInfo {
  std::string name;
  u32 start = 0;        // instruction number
  u32 local_bytes = 0;  // of its frame
  struct Part {
    u32 begin = 0, end = 0;
  };
  Part parts[kClasses];  // of the register file, by class
  u32 cycle = 0;         // functions that can call one another share a number that is not 0
};

// A decoded kernel with every function that it reaches.
struct Program {
  std::string name;
  std::vector<Inst> code;
  std::vector<Source> sources;
  std::vector<std::unique_ptr<u32[]>> lists;
  std::vector<Constant> constants;
  std::vector<Special> specials;
  std::vector<FunctionInfo> functions;  // 0 is the kernel
  std::vector<u32> by_number;           // number in the module -> index here; 0 for one that is not reached
  std::map<int, std::string> files;
  u32 register_bytes = 0;  // of a warp's file
  u32 registers = 0;       // 32-bit registers a thread, after allocation to slots
  u32 local_bytes = 0, static_shared = 0, parameter_bytes = 0;
  u32 reserved_shared = 0;  // the system's part of shared memory, where the kernel asks for it
  u32 memory_slots = 0;
  u32 max_threads = 1024, required_threads = 0;
  bool recursive = false, allocates = false;  // allocates: from the stack, with alloca
  std::string describe(u32 source) const;     // "file:line: text"
};

struct Frame {
  u32 back = 0;                            // instruction number to return to
  u32 local = 0;                           // the caller's local frame
  std::shared_ptr<std::vector<u8>> saved;  // the caller's registers, where a function may call itself
  std::shared_ptr<std::vector<u32>> tops;  // the lanes' ends of the stack, where a function may take from it
  u32 function = 0;
  bool operator==(const Frame& other) const {
    return back == other.back && local == other.local && saved == other.saved && tops == other.tops;
  }
};

enum class Wait : u8 { ready, sync, barrier, slept };
// How lanes may come together: at one instruction, at any bar.warp.sync, or at any exchange of one kind.
enum class Meeting : u8 { here, warp_barrier, exchange };

struct Split {
  u32 mask = 0;
  const Inst* at = nullptr;
  u32 local = 0;
  std::vector<Frame> stack;
  Wait wait = Wait::ready;
  u32 members = 0;  // Wait::sync: lanes to wait for
  u32 missing = 0;  // lanes that were alive elsewhere when this split reached a barrier
  int barrier = -1;
  Meeting meeting = Meeting::here;  // Wait::sync
};

enum class Stop : u8 { none, yield, slice, exited, blocked, fault };

struct Range {
  u64 begin = 1, size = 0;
  i64 delta = 0;
  Allocation* allocation = nullptr;
};

struct CopyGroup {  // cp.async data lands only at the matching wait
  struct Piece {
    u32 to;
    u8 bytes;
    u8 data[16];
    u32 lane;
  };
  std::vector<Piece> pieces;
  const Inst* source = nullptr;
};

struct Warp {
  u32 mask = 0;  // lanes of the running split
  u8* regs = nullptr;
  const Inst* limit = nullptr;  // another split stands here: stop at a label at or after it
  Worker* worker = nullptr;
  Block* block = nullptr;
  u32 local = 0;               // the running split's local frame
  u8* local_memory = nullptr;  // 32 x local_stride bytes
  u32 local_stride = 0;
  std::vector<u32> tops;  // by lane: where its stack ends; what alloca takes lies above. Empty without alloca
  bool observe = false;   // a check or the profile wants to see memory accesses
  Stop stop = Stop::none;
  const Inst* resume = nullptr;
  int budget = 0;  // backward branches before the scheduler is asked again

  u32 index = 0;              // in its block
  u32 live = 0, initial = 0;  // lanes that have not exited; lanes that exist
  Split current;              // stack and state of the running split (mask and local are kept above)
  std::vector<Split> others;
  u32 time = 0, inner_time = 0;  // racecheck's clocks
  u32 seen_time = 0;             // released where relaxed operations read; a fence makes it count
  u32 fence_time = 0;            // what relaxed writes after a fence release
  std::vector<u64> acquiring;    // global words that the running strong operation reads
  bool rotate = false;
  std::vector<CopyGroup> groups;  // committed, oldest first
  CopyGroup open_group;
  bool finished() const { return live == 0; }
};

struct Barrier {
  u32 arrived = 0;                         // threads that came through bar.arrive, or wait in a count of warps
  u32 expected = 0;                        // threads, where the instruction gives a number; 0 for the whole block
  u32 reduce_count = 0, reduce_votes = 0;  // bar.red: threads whose predicate held, and threads in all
  u32 time = 0;                            // racecheck: the latest clock among those that only arrived
};

struct BulkCopy {  // to shared memory; lands at the first wait on its barrier
  u32 barrier = 0, to = 0;
  std::vector<u8> data;
  Warp* issuer = nullptr;
  const Inst* source = nullptr;
};

struct Block {
  Launch* launch = nullptr;
  Worker* worker = nullptr;
  u32 index[3] = {0, 0, 0};
  u64 number = 0;
  std::vector<Warp> warps;
  u8* shared = nullptr;
  u32 shared_bytes = 0;
  std::vector<u8> shared_written;
  std::vector<RaceCell> shared_cells;
  Barrier barriers[16];
  u32 time = 0;                   // racecheck's clock for global memory
  u64 turns = 0;                  // the state behind a shuffled order of warps
  std::unique_ptr<u8[]> storage;  // registers, shared and local memory
  bool progressed = false;
  std::vector<BulkCopy> bulk;
  std::map<u32, u32> object_times;  // racecheck: what was released at a place in shared memory
};

struct Counters;

struct Worker {
  Launch* launch = nullptr;
  std::vector<Range> ranges;  // by memory slot
  std::vector<std::unique_ptr<Block>> blocks, spare;
  std::unique_ptr<Counters> counters;
  u64 shuffle_state = 0;
  u64 clock = 0;
};

struct Launch {
  const Program* program = nullptr;
  u32 grid[3] = {1, 1, 1}, block[3] = {1, 1, 1};
  u32 dynamic_shared = 0, shared_bytes = 0;
  u32 threads = 0, warps = 0;
  u64 blocks = 0;
  std::vector<u8> parameters;
  bool cooperative = false;
  u32 multiprocessors = 108;
  u32 stack_bytes = 0;  // that the program asked for, of a kernel that recurses
  u32 number = 0;       // of this launch in the process
  u64 workspace = 0;    // grid synchronisation's memory
  std::atomic<u64> next_block{0}, finished_blocks{0};
  std::vector<u32> order;  // blocks in seeded order; empty for 0, 1, 2 ...
  std::atomic<bool> failed{false};
  std::mutex mutex;
  int error = 0;  // the CUDA error that the launch ends with
};

// Ends the launch with a report. The kinds follow cudaError: an illegal address, a misaligned one, an assertion ...
enum class FaultKind : u8 { address, misaligned, assertion, trap, unsupported, deadlock };
const Inst* fault(Warp& warp, const Inst* in, FaultKind kind, u32 lane, const std::string& what);
// A finding of initcheck, racecheck or synccheck: reported, and the kernel goes on.
void finding(const Warp& warp, const Inst* in, const char* check, u32 lane, const std::string& what);
// "kernel NAME, block (x, y, z), thread (x, y, z), at FILE:LINE: INSTRUCTION"
std::string where(const Warp& warp, const Inst* in, u32 lane);

}  // namespace tweedie::vgpu
