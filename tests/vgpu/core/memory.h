// Device memory: every allocation is a range of its own with unassigned guard space around it, and an address is never
// used twice. Device-only memory is backed at another host address, so that a host program that dereferences a device
// pointer faults as it would on a real machine; managed and pinned memory have one address for both.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/types.h"

namespace tweedie::vgpu {

enum class MemoryKind : u8 { device, managed, pinned, registered, module, heap };

struct RaceCell;

struct Allocation {
  u64 begin = 0, end = 0;  // device addresses
  i64 delta = 0;           // host address = device address + delta
  u32 id = 0;
  MemoryKind kind = MemoryKind::device;
  bool freed = false, constant = false;
  std::string label;                           // module variables: their name
  std::atomic<u8*> written{nullptr};           // initcheck: one byte a byte, 1 once something wrote it
  std::atomic<RaceCell*> race_cells{nullptr};  // racecheck
  u64 size() const { return end - begin; }
};

class Memory {
 public:
  static Memory& instance();

  // Null when the device's memory does not suffice.
  Allocation* allocate(u64 size, MemoryKind kind);
  Allocation* register_host(void* pointer, u64 size);
  // False when no live allocation of that start exists.
  bool release(u64 address);

  // The allocation, alive or freed, whose range holds the address; null for none.
  Allocation* find(u64 address);
  // The nearest allocation at or below the address, for messages.
  std::string describe(u64 address);
  // The host address of a live range of device, managed or pinned memory; null when any byte of it is not.
  u8* host_pointer(u64 address, u64 size);
  bool is_device_address(u64 address) const { return address >= arena_ && address < arena_ + arena_size_; }

  u64 used() const { return used_; }
  u64 live_count() const { return live_; }

  u8* written_shadow(Allocation& allocation);
  RaceCell* race_shadow(Allocation& allocation);
  void mark_written(u64 address, u64 size);  // by the host side, when initcheck is on
  // Offset of the first byte that nothing wrote, or -1.
  i64 first_unwritten(u64 address, u64 size);
  void copy_written(u64 to, u64 from, u64 size);

 private:
  Memory();
  static constexpr u64 kGranule = 4096;
  u64 arena_ = 0, arena_size_ = 0;  // device addresses; two halves: device only, and host visible
  u64 backing_ = 0;                 // of the device-only half
  u64 next_device_ = 0, next_visible_ = 0;
  Allocation** granules_ = nullptr;  // the allocation of each granule
  std::mutex mutex_;
  std::vector<std::unique_ptr<Allocation>> allocations_;  // by id
  std::map<u64, Allocation*> registered_;
  std::map<u64, Allocation*> by_begin_;
  std::atomic<u64> used_ = 0, live_ = 0;
  std::atomic<bool> any_registered_ = false;
};

}  // namespace tweedie::vgpu
