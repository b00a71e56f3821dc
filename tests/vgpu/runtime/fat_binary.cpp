#include "runtime/fat_binary.h"

#include <cstring>

#include "core/types.h"

namespace tweedie::vgpu {
namespace {

struct Wrapper {
  u32 magic, version;
  const u8* data;
  const void* more;
};
struct Header {
  u32 magic;
  u16 version, header_bytes;
  u64 bytes;
};
struct Entry {
  u16 kind, version;
  u32 header_bytes;
  u64 bytes;
  u32 compressed_bytes, options_offset;
  u16 minor, major;
  u32 architecture, name_offset, name_bytes;
  u64 flags, zero, uncompressed_bytes;
};
constexpr u32 kWrapperMagic = 0x466243b1, kHeaderMagic = 0xba55ed50;
constexpr u16 kPtx = 1;

}  // namespace

namespace {

// f(entry, payload) for each entry; says what is wrong with the container, or nothing.
template <class F>
const char* visit(const void* fat_binary_wrapper, F f) {
  const auto* wrapper = static_cast<const Wrapper*>(fat_binary_wrapper);
  if (!wrapper || wrapper->magic != kWrapperMagic) return "the fat binary's wrapper is of an unknown kind";
  const u8* at = wrapper->data;
  Header header;
  std::memcpy(&header, at, sizeof header);
  if (header.magic != kHeaderMagic) return "the fat binary's header is of an unknown kind";
  const u8* end = at + header.header_bytes + header.bytes;
  at += header.header_bytes;
  while (at + sizeof(Entry) <= end) {
    Entry entry;
    std::memcpy(&entry, at, sizeof entry);
    f(entry, reinterpret_cast<const char*>(at + entry.header_bytes));
    at += entry.header_bytes + entry.bytes;
  }
  return nullptr;
}

}  // namespace

int oldest_ptx(const void* fat_binary_wrapper) {
  int oldest = 0;
  visit(fat_binary_wrapper, [&](const Entry& entry, const char*) {
    const int arch = static_cast<int>(entry.architecture);
    if (entry.kind == kPtx && (oldest == 0 || arch < oldest)) oldest = arch;
  });
  return oldest;
}

std::string find_ptx(const void* fat_binary_wrapper, int architecture, std::string& problem) {
  std::string best;
  int best_architecture = -1;
  bool compressed = false;
  const char* wrong = visit(fat_binary_wrapper, [&](const Entry& entry, const char* payload) {
    if (entry.kind != kPtx) return;
    const bool packed = entry.compressed_bytes != 0 || (entry.flags & 0x2000) || (entry.flags & 0x8000);
    const int arch = static_cast<int>(entry.architecture);
    const bool fits = arch <= architecture, best_fits = best_architecture >= 0 && best_architecture <= architecture;
    const bool better = best_architecture < 0 || (fits && (!best_fits || arch > best_architecture)) ||
                        (!fits && !best_fits && arch < best_architecture);
    if (packed) {
      compressed = true;
    } else if (better) {
      best.assign(payload, strnlen(payload, entry.bytes));
      best_architecture = arch;
    }
  });
  if (wrong)
    problem = wrong;
  else if (best.empty())
    problem = compressed ? "its PTX is compressed: build with -Xfatbin -compress=false"
                         : "it holds no PTX: build with -gencode arch=compute_80,code=compute_80, without -rdc=true";
  return best;
}

}  // namespace tweedie::vgpu
