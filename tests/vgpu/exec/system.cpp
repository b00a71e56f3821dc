// Clocks, address spaces and the functions that the device runtime provides: printf, assert, malloc, free.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>

#include "exec/access.h"
#include "exec/handlers.h"

namespace tweedie::vgpu {
namespace {

template <class T, bool Nanoseconds>
const Inst* clock(Warp& warp, const Inst* in) {
  const u64 now = static_cast<u64>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                       (Nanoseconds ? std::chrono::system_clock::now().time_since_epoch()
                                                    : std::chrono::steady_clock::now().time_since_epoch()))
                                       .count());
  const u64 value = in->flags ? now >> 32 : now;  // flags: the high half
  for_active(warp, [&](u32 i) { reg<T>(warp, in->d)[i] = static_cast<T>(value); });
  return in + 1;
}

const Inst* is_space(Warp& warp, const Inst* in) {  // imm: the window, or 0 for global
  u32 bits = 0;
  const u64* a = reg<u64>(warp, in->a);
  for_active(warp, [&](u32 i) {
    const u64 window = a[i] & kWindowMask;
    const bool other = window == kSharedWindow || window == kLocalWindow || window == kParamWindow;
    bool yes = in->imm ? window == static_cast<u64>(in->imm) : !other;
    bits |= static_cast<u32>(yes) << i;
  });
  u32& p = predicate(warp, in->d);
  p = (p & ~warp.mask) | (bits & warp.mask);
  return in + 1;
}

// Parameters of a called function lie in the caller's outgoing area, one after the other.
template <class T>
T argument(Warp& warp, const Inst* in, u32 lane, u32 offset) {
  const FunctionInfo& caller = warp.block->launch->program->functions[in->extra];
  T value;
  std::memcpy(&value,
              warp.local_memory + static_cast<u64>(lane) * warp.local_stride + warp.local + caller.local_bytes + offset,
              sizeof value);
  return value;
}
template <class T>
void give(Warp& warp, const Inst* in, u32 lane, T value) {
  const FunctionInfo& caller = warp.block->launch->program->functions[in->extra];
  std::memcpy(warp.local_memory + static_cast<u64>(lane) * warp.local_stride + warp.local + caller.local_bytes, &value,
              sizeof value);
}

// A device string; false after a fault.
bool read_text(Warp& warp, const Inst* in, u64 address, u32 lane, std::string& text) {
  for (;; ++address) {
    const u8* at = resolve_one(warp, in, address, 1, AccessKind::load, lane);
    if (!at) return false;
    if (*at == 0) return true;
    text += static_cast<char>(*at);
  }
}

// One thread's printf; `count` becomes the number of its arguments, which is what printf gives.
bool format_one(Warp& warp, const Inst* in, u32 lane, u64 format_address, u64 arguments, std::string& out, i32& count) {
  std::string format;
  if (!read_text(warp, in, format_address, lane, format)) return false;
  u64 at = arguments;
  bool failed = false;
  auto take = [&](u32 bytes) -> u64 {
    ++count;
    at = (at + bytes - 1) & ~static_cast<u64>(bytes - 1);
    const u8* host = resolve_one(warp, in, at, bytes, AccessKind::load, lane);
    at += bytes;
    u64 value = 0;
    if (host)
      std::memcpy(&value, host, bytes);
    else
      failed = true;
    return value;
  };
  for (std::size_t k = 0; k < format.size() && !failed; ++k) {
    if (format[k] != '%') {
      out += format[k];
      continue;
    }
    if (k + 1 < format.size() && format[k + 1] == '%') {
      out += '%';
      ++k;
      continue;
    }
    std::string specifier = "%";
    bool wide = false;
    for (++k; k < format.size(); ++k) {
      const char c = format[k];
      if (c == '*') {
        specifier += std::to_string(static_cast<int>(take(4)));
        continue;
      }
      if (c == 'l' || c == 'z' || c == 'j' || c == 't') {
        wide = true;
        continue;
      }
      if (c == 'h') continue;
      specifier += c;
      if (std::isalpha(static_cast<unsigned char>(c))) break;
    }
    const char kind = specifier.back();
    char buffer[512];
    if (std::strchr("diouxXc", kind)) {
      const u64 value = take(wide ? 8 : 4);
      if (kind == 'c') {
        std::snprintf(buffer, sizeof buffer, specifier.c_str(), static_cast<int>(value));
      } else {
        specifier.insert(specifier.size() - 1, "ll");
        const bool is_signed = kind == 'd' || kind == 'i';
        const long long given = is_signed && !wide ? static_cast<i32>(value) : static_cast<long long>(value);
        std::snprintf(buffer, sizeof buffer, specifier.c_str(), given);
      }
    } else if (std::strchr("fFeEgGaA", kind)) {
      const u64 bits = take(8);
      double value;
      std::memcpy(&value, &bits, 8);
      std::snprintf(buffer, sizeof buffer, specifier.c_str(), value);
    } else if (kind == 'p') {
      std::snprintf(buffer, sizeof buffer, specifier.c_str(), reinterpret_cast<void*>(take(8)));
    } else if (kind == 's') {
      std::string text;
      const u64 address = take(8);
      if (!read_text(warp, in, address, lane, text)) return false;
      std::vector<char> longer(text.size() + 512);
      std::snprintf(longer.data(), longer.size(), specifier.c_str(), text.c_str());
      out += longer.data();
      continue;
    } else {
      std::snprintf(buffer, sizeof buffer, "%s", specifier.c_str());
    }
    out += buffer;
  }
  return !failed;
}

const Inst* print(Warp& warp, const Inst* in) {  // int vprintf(const char*, void*): result, format, arguments
  std::string out;
  for (u32 rest = warp.mask; rest; rest &= rest - 1) {
    const u32 i = static_cast<u32>(__builtin_ctz(rest));
    i32 count = 0;
    if (!format_one(warp, in, i, argument<u64>(warp, in, i, 8), argument<u64>(warp, in, i, 16), out, count))
      return nullptr;
    give<i32>(warp, in, i, count);
  }
  const std::lock_guard lock(warp.block->launch->mutex);
  std::fwrite(out.data(), 1, out.size(), stdout);
  return in + 1;
}

const Inst* assert_failed(Warp& warp, const Inst* in) {
  const u32 i = static_cast<u32>(__builtin_ctz(warp.mask));
  std::string message, file, function;
  if (!read_text(warp, in, argument<u64>(warp, in, i, 0), i, message)) return nullptr;
  if (!read_text(warp, in, argument<u64>(warp, in, i, 8), i, file)) return nullptr;
  if (!read_text(warp, in, argument<u64>(warp, in, i, 24), i, function)) return nullptr;
  const u32 line = argument<u32>(warp, in, i, 16);
  return fault(warp, in, FaultKind::assertion, i,
               fmt::format("{}:{}: {}: assertion `{}` failed", file, line, function, message));
}

const Inst* allocate(Warp& warp, const Inst* in) {  // void* malloc(size_t)
  for_active(warp, [&](u32 i) {
    Allocation* made = Memory::instance().allocate(argument<u64>(warp, in, i, 8), MemoryKind::heap);
    give<u64>(warp, in, i, made ? made->begin : 0);
  });
  return in + 1;
}
const Inst* release(Warp& warp, const Inst* in) {
  for (u32 rest = warp.mask; rest; rest &= rest - 1) {
    const u32 i = static_cast<u32>(__builtin_ctz(rest));
    const u64 address = argument<u64>(warp, in, i, 0);
    if (address && !Memory::instance().release(address))
      return fault(warp, in, FaultKind::address, i,
                   fmt::format("free({:#x}): no live allocation starts there", address));
  }
  return in + 1;
}

}  // namespace

void add_system(HandlerTable& table) {
  table["clock.32"] = clock<u32, false>;
  table["clock.64"] = clock<u64, false>;
  table["globaltimer.64"] = clock<u64, true>;
  table["globaltimer.32"] = clock<u32, true>;
  table["isspacep"] = is_space;
  table["call.vprintf"] = print;
  table["call.__assertfail"] = assert_failed;
  table["call.malloc"] = allocate;
  table["call.free"] = release;
}

}  // namespace tweedie::vgpu
