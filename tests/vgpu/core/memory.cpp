#include "core/memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "core/settings.h"
#include "core/shadow.h"

namespace tweedie::vgpu {
namespace {

void* reserve(u64 size, int protection) {
  void* got = mmap(nullptr, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return got == MAP_FAILED ? nullptr : got;
}

constexpr u64 kPoisonLimit = 1ull << 30;  // larger allocations stay zero: filling them would make every page real

}  // namespace

Memory& Memory::instance() {
  static Memory* memory = new Memory;  // outlives every static destructor of the program
  return *memory;
}

Memory::Memory() {
  void* addresses = nullptr;
  for (arena_size_ = 8ull << 40; arena_size_ >= 64ull << 30; arena_size_ /= 2) {
    addresses = reserve(arena_size_, PROT_NONE);
    void* backing = addresses ? reserve(arena_size_ / 2, PROT_READ | PROT_WRITE) : nullptr;
    void* granules = backing ? reserve(arena_size_ / kGranule * sizeof(Allocation*), PROT_READ | PROT_WRITE) : nullptr;
    if (granules) {
      backing_ = reinterpret_cast<u64>(backing);
      granules_ = static_cast<Allocation**>(granules);
      break;
    }
    if (addresses) munmap(addresses, arena_size_);
    if (backing) munmap(backing, arena_size_ / 2);
    addresses = nullptr;
  }
  if (!addresses) {
    std::fprintf(stderr, "vgpu: cannot reserve 64 GiB of address space (is there a limit on virtual memory?)\n");
    std::abort();
  }
  arena_ = reinterpret_cast<u64>(addresses);
  next_device_ = arena_ + kGranule;
  next_visible_ = arena_ + arena_size_ / 2 + kGranule;
  // The second half is used in place.
  mprotect(reinterpret_cast<void*>(arena_ + arena_size_ / 2), arena_size_ / 2, PROT_READ | PROT_WRITE);
  allocations_.push_back(nullptr);
}

Allocation* Memory::allocate(u64 size, MemoryKind kind) {
  const std::lock_guard lock(mutex_);
  const bool visible = kind == MemoryKind::managed || kind == MemoryKind::pinned;
  u64& next = visible ? next_visible_ : next_device_;
  const u64 limit = visible ? arena_ + arena_size_ : arena_ + arena_size_ / 2;
  const u64 granules = (size + kGranule - 1) / kGranule;
  if (size > limit - next || granules * kGranule + 2 * kGranule > limit - next) return nullptr;
  if (kind != MemoryKind::pinned && used_ + size > settings().device_memory) return nullptr;
  auto made = std::make_unique<Allocation>();
  made->begin = next;
  made->end = next + size;
  made->delta = visible ? 0 : static_cast<i64>(backing_ - arena_);
  made->id = static_cast<u32>(allocations_.size());
  made->kind = kind;
  for (u64 i = 0; i < granules; ++i) granules_[(next - arena_) / kGranule + i] = made.get();
  next += (granules + 1) * kGranule;
  u8* host = reinterpret_cast<u8*>(made->begin + made->delta);
  if (size >= 4u << 20) madvise(host, granules * kGranule, MADV_HUGEPAGE);
  if (size <= kPoisonLimit && kind != MemoryKind::module) std::memset(host, 0xff, size);
  if (kind != MemoryKind::pinned) used_ += size;
  ++live_;
  by_begin_[made->begin] = made.get();
  allocations_.push_back(std::move(made));
  return allocations_.back().get();
}

Allocation* Memory::register_host(void* pointer, u64 size) {
  const std::lock_guard lock(mutex_);
  auto made = std::make_unique<Allocation>();
  made->begin = reinterpret_cast<u64>(pointer);
  made->end = made->begin + size;
  made->id = static_cast<u32>(allocations_.size());
  made->kind = MemoryKind::registered;
  registered_[made->begin] = made.get();
  any_registered_ = true;
  allocations_.push_back(std::move(made));
  return allocations_.back().get();
}

bool Memory::release(u64 address) {
  const std::lock_guard lock(mutex_);
  if (const auto found = registered_.find(address); found != registered_.end()) {
    registered_.erase(found);
    return true;
  }
  const auto found = by_begin_.find(address);
  if (found == by_begin_.end() || found->second->freed) return false;
  Allocation& allocation = *found->second;
  allocation.freed = true;
  if (allocation.kind != MemoryKind::pinned) used_ -= allocation.size();
  --live_;
  const u64 pages = (allocation.size() + kGranule - 1) / kGranule * kGranule;
  if (pages) madvise(reinterpret_cast<void*>(allocation.begin + allocation.delta), pages, MADV_DONTNEED);
  if (u8* shadow = allocation.written.exchange(nullptr)) munmap(shadow, allocation.size());
  if (RaceCell* cells = allocation.race_cells.exchange(nullptr)) munmap(cells, allocation.size() * sizeof(RaceCell));
  return true;
}

Allocation* Memory::find(u64 address) {
  if (is_device_address(address)) {
    Allocation* allocation = granules_[(address - arena_) / kGranule];
    return allocation && address < allocation->end ? allocation : nullptr;
  }
  if (!any_registered_) return nullptr;
  const std::lock_guard lock(mutex_);
  auto after = registered_.upper_bound(address);
  if (after == registered_.begin()) return nullptr;
  Allocation* allocation = std::prev(after)->second;
  return address < allocation->end ? allocation : nullptr;
}

std::string Memory::describe(u64 address) {
  if (Allocation* inside = find(address); inside && inside->freed)
    return fmt::format("offset {} in allocation #{} of {} bytes, which was freed", address - inside->begin, inside->id,
                       inside->size());
  const std::lock_guard lock(mutex_);
  if (!is_device_address(address)) {
    if (address < 4096) return "a null pointer";
    return "an address that no device allocation ever had (a host pointer?)";
  }
  auto after = by_begin_.upper_bound(address);
  const Allocation* below = after == by_begin_.begin() ? nullptr : std::prev(after)->second;
  const Allocation* above = after == by_begin_.end() ? nullptr : after->second;
  if (above && (!below || above->begin - address < address - below->end))
    return fmt::format("{} bytes before allocation #{} of {} bytes", above->begin - address, above->id, above->size());
  if (!below) return "no allocation is near it";
  return fmt::format("{} bytes past the end of allocation #{} of {} bytes{}{}", address - below->end, below->id,
                     below->size(), below->label.empty() ? "" : " " + below->label, below->freed ? " (freed)" : "");
}

u8* Memory::host_pointer(u64 address, u64 size) {
  Allocation* allocation = find(address);
  if (!allocation || allocation->freed || size > allocation->end - address) return nullptr;
  return reinterpret_cast<u8*>(address + allocation->delta);
}

u8* Memory::written_shadow(Allocation& allocation) {
  u8* shadow = allocation.written.load(std::memory_order_acquire);
  if (shadow) return shadow;
  const std::lock_guard lock(mutex_);
  if (!allocation.written) {
    void* made = reserve(std::max<u64>(allocation.size(), 1), PROT_READ | PROT_WRITE);
    const bool known = allocation.kind == MemoryKind::module || allocation.kind == MemoryKind::registered ||
                       allocation.kind == MemoryKind::managed || allocation.kind == MemoryKind::pinned;
    if (known) std::memset(made, 1, allocation.size());  // the host writes these without our seeing it
    allocation.written = static_cast<u8*>(made);
  }
  return allocation.written;
}

RaceCell* Memory::race_shadow(Allocation& allocation) {
  RaceCell* cells = allocation.race_cells.load(std::memory_order_acquire);
  if (cells) return cells;
  const std::lock_guard lock(mutex_);
  if (!allocation.race_cells)
    allocation.race_cells =
        static_cast<RaceCell*>(reserve(std::max<u64>(allocation.size(), 1) * sizeof(RaceCell), PROT_READ | PROT_WRITE));
  return allocation.race_cells;
}

void Memory::mark_written(u64 address, u64 size) {
  if (!settings().initialised) return;
  Allocation* allocation = find(address);
  if (!allocation || allocation->freed || size == 0) return;
  std::memset(written_shadow(*allocation) + (address - allocation->begin), 1,
              std::min(size, allocation->end - address));
}

i64 Memory::first_unwritten(u64 address, u64 size) {
  if (!settings().initialised) return -1;
  Allocation* allocation = find(address);
  if (!allocation || allocation->freed) return -1;
  const u8* shadow = written_shadow(*allocation) + (address - allocation->begin);
  const void* hole = std::memchr(shadow, 0, std::min(size, allocation->end - address));
  return hole ? static_cast<const u8*>(hole) - shadow : -1;
}

void Memory::copy_written(u64 to, u64 from, u64 size) {
  if (!settings().initialised) return;
  Allocation* target = find(to);
  Allocation* source = find(from);
  if (!target || !source || target->freed || source->freed) return;
  std::memmove(written_shadow(*target) + (to - target->begin), written_shadow(*source) + (from - source->begin), size);
}

}  // namespace tweedie::vgpu
