// Integer, float, half and double arithmetic, conversions and rounding modes against the host.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cfenv>

#include "harness.h"

constexpr int N = 1000;

template <class F, class R, class... A>
__global__ void map(F f, int n, R* out, const A*... in) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = f(in[i]...);
}
template <class R, class F, class G, class A, class B>
void compare(F device, G host, const std::vector<A>& a, const std::vector<B>& b, double tolerance = 0) {
  Device<A> da(a);
  Device<B> db(b);
  Device<R> out(a.size());
  map<<<(a.size() + 127) / 128, 128>>>(device, static_cast<int>(a.size()), out.pointer,
                                       static_cast<const A*>(da.pointer), static_cast<const B*>(db.pointer));
  const auto got = out.get();
  for (size_t i = 0; i < a.size(); ++i) {
    const R expected = host(a[i], b[i]);
    const bool same = tolerance == 0 ? (got[i] == expected || (got[i] != got[i] && expected != expected))
                                     : close(double(got[i]), double(expected), tolerance);
    if (!same && ++failures < 20)
      std::printf("  case %zu: a %.9g b %.9g got %.17g expected %.17g\n", i, double(a[i]), double(b[i]), double(got[i]),
                  double(expected));
  }
}

template <class T>
std::vector<T> integers(int seed) {
  Numbers numbers(seed);
  std::vector<T> list(N);
  for (auto& x : list) x = static_cast<T>(numbers.wide() >> (numbers.bits() % 64));
  list[0] = 0, list[1] = 1, list[2] = static_cast<T>(-1), list[3] = std::numeric_limits<T>::max(),
  list[4] = std::numeric_limits<T>::min();
  return list;
}
template <class T>
std::vector<T> reals(int seed, double range) {
  Numbers numbers(seed);
  std::vector<T> list(N);
  for (auto& x : list) x = static_cast<T>(range * numbers.signed_unit());
  list[0] = 0, list[1] = static_cast<T>(-0.0), list[2] = INFINITY, list[3] = -INFINITY, list[4] = NAN, list[5] = 1,
  list[6] = static_cast<T>(1e-40), list[7] = static_cast<T>(0.5), list[8] = static_cast<T>(1.5),
  list[9] = static_cast<T>(-2.5);
  return list;
}
#define BOTH(R, a, b, expression)                                       \
  compare<R>([] __device__(auto x, auto y) -> R { return expression; }, \
             [](auto x, auto y) -> R { return expression; }, a, b)

CASE(integer32) {
  const auto a = integers<int>(1), b = integers<int>(2);
  const auto u = integers<unsigned>(3), v = integers<unsigned>(4);
  BOTH(int, a, b, int(unsigned(x) * unsigned(y) + 7u));
  BOTH(int, a, b, y == 0 || y == -1 ? 0 : x / y);
  BOTH(int, a, b, y == 0 || y == -1 ? 0 : x % y);
  BOTH(unsigned, u, v, y == 0 ? 0 : x / y);
  BOTH(unsigned, u, v, y == 0 ? 0 : x % y);
  BOTH(int, a, b, x < y ? x : y);
  BOTH(unsigned, u, v, x > y ? x : y);
  BOTH(int, a, b, x >> (y & 31));
  BOTH(unsigned, u, v, x << (y & 31));
  BOTH(unsigned, u, v, (x & y) ^ ~(x | y));
  BOTH(int, a, b, int((long long)x * y >> 32));
  BOTH(unsigned, u, v, unsigned((unsigned long long)x * y >> 32));
  compare<int>([] __device__(unsigned x, unsigned) { return __popc(x) + 64 * __clz(x) + 4096 * __ffs(x); },
               [](unsigned x, unsigned) {
                 return __builtin_popcount(x) + 64 * (x ? __builtin_clz(x) : 32) + 4096 * __builtin_ffs(x);
               },
               u, v);
  compare<unsigned>([] __device__(unsigned x, unsigned) { return __brev(x); },
                    [](unsigned x, unsigned) {
                      unsigned r = 0;
                      for (int k = 0; k < 32; ++k) r |= (x >> k & 1) << (31 - k);
                      return r;
                    },
                    u, v);
  compare<unsigned>(
      [] __device__(unsigned x, unsigned y) { return __byte_perm(x, y, 0x4 | 0x10 | 0x700 | 0x2000); },
      [](unsigned x, unsigned y) { return (y & 255) | (x >> 8 & 255) << 8 | (y >> 24) << 16 | (x >> 16 & 255) << 24; },
      u, v);
  compare<unsigned>([] __device__(unsigned x, unsigned y) { return __funnelshift_l(x, y, 11); },
                    [](unsigned x, unsigned y) { return y << 11 | x >> 21; }, u, v);
  compare<int>([] __device__(int x, int y) { return __dp4a(x, y, 5); },
               [](int x, int y) {
                 int s = 5;
                 for (int k = 0; k < 4; ++k) s += int(int8_t(x >> 8 * k)) * int(int8_t(y >> 8 * k));
                 return s;
               },
               a, b);
  compare<unsigned>(
      [] __device__(unsigned x, unsigned y) {
        unsigned r;
        asm("bfe.u32 %0, %1, %2, 7;" : "=r"(r) : "r"(x), "r"(y & 31));
        return r;
      },
      [](unsigned x, unsigned y) { return (x >> (y & 31)) & 127; }, u, v);
  compare<unsigned>(
      [] __device__(unsigned x, unsigned y) {
        unsigned r;
        asm("bfi.b32 %0, %1, %2, 5, 9;" : "=r"(r) : "r"(x), "r"(y));
        return r;
      },
      [](unsigned x, unsigned y) { return (y & ~(511u << 5)) | (x & 511u) << 5; }, u, v);
  compare<int>(
      [] __device__(int x, int y) {
        int r;
        asm("bfe.s32 %0, %1, 3, 6;" : "=r"(r) : "r"(x));
        return r + (y & 0);
      },
      [](int x, int) { return int(unsigned(x) << 23) >> 26; }, a, b);
  compare<unsigned>(
      [] __device__(unsigned x, unsigned y) {
        unsigned r;
        asm("lop3.b32 %0, %1, %2, %3, 0x96;" : "=r"(r) : "r"(x), "r"(y), "r"(x >> 3));
        return r;
      },
      [](unsigned x, unsigned y) { return x ^ y ^ (x >> 3); }, u, v);
  compare<int>(
      [] __device__(int x, int y) {
        int r;
        asm("add.sat.s32 %0, %1, %2;" : "=r"(r) : "r"(x), "r"(y));
        return r;
      },
      [](int x, int y) {
        long long s = (long long)x + y;
        return int(s > 2147483647ll ? 2147483647ll : s < -2147483648ll ? -2147483648ll : s);
      },
      a, b);
}

CASE(integer64_and_small) {
  const auto a = integers<long long>(1), b = integers<long long>(2);
  const auto u = integers<unsigned long long>(3), v = integers<unsigned long long>(4);
  BOTH(unsigned long long, u, v, x* y + (x >> (y & 63)));
  BOTH(unsigned long long, u, v, y == 0 ? 0 : x / y + x % y);
  BOTH(long long, a, b, y == 0 || y == -1 ? 0 : x / y - x % y);
  BOTH(long long, a, b, x >> (y & 63));
  compare<unsigned long long>(
      [] __device__(unsigned long long x, unsigned long long y) { return __umul64hi(x, y); },
      [](unsigned long long x, unsigned long long y) { return (unsigned long long)((unsigned __int128)x * y >> 64); },
      u, v);
  compare<int>([] __device__(unsigned long long x, unsigned long long) { return __popcll(x) + 100 * __clzll(x); },
               [](unsigned long long x, unsigned long long) {
                 return __builtin_popcountll(x) + 100 * (x ? __builtin_clzll(x) : 64);
               },
               u, v);
  const auto s = integers<short>(5), t = integers<short>(6);
  BOTH(short, s, t, short(x * y + (x >> (y & 7))));
  const auto c = integers<signed char>(7), d = integers<signed char>(8);
  BOTH(int, c, d, x* y - x);
  const auto e = integers<unsigned char>(9), f = integers<unsigned char>(10);
  BOTH(unsigned char, e, f, (unsigned char)(x + y));
  compare<unsigned>(
      [] __device__(unsigned long long x, unsigned long long y) {
        unsigned r, q;
        asm("{add.cc.u32 %0, %2, %3; addc.u32 %1, %4, %5;}"
            : "=r"(r), "=r"(q)
            : "r"(unsigned(x)), "r"(unsigned(y)), "r"(unsigned(x >> 32)), "r"(unsigned(y >> 32)));
        return r ^ q;
      },
      [](unsigned long long x, unsigned long long y) {
        const auto z = x + y;
        return unsigned(z) ^ unsigned(z >> 32);
      },
      u, v);
}

// The carry flag of a subtraction says that nothing was borrowed: chains of subc agree either way, addc tells.
CASE(carry_of_subtractions) {
  const auto u = integers<unsigned long long>(3), v = integers<unsigned long long>(4);
  compare<unsigned>(
      [] __device__(unsigned long long x, unsigned long long y) {
        unsigned r, q, s;
        asm("{sub.cc.u32 %0, %3, %4; subc.cc.u32 %1, %5, %6; addc.u32 %2, 0, 0;}"
            : "=r"(r), "=r"(q), "=r"(s)
            : "r"(unsigned(x)), "r"(unsigned(y)), "r"(unsigned(x >> 32)), "r"(unsigned(y >> 32)));
        return (r ^ q) + s;
      },
      [](unsigned long long x, unsigned long long y) {
        const auto z = x - y;
        return (unsigned(z) ^ unsigned(z >> 32)) + (x >= y);
      },
      u, v);
}

CASE(integer128) {
  const auto u = integers<unsigned long long>(5), v = integers<unsigned long long>(6);
  const auto mixed = [] __host__ __device__(unsigned long long x, unsigned long long y) {
    const unsigned __int128 wide = static_cast<unsigned __int128>(x) << 64 | y;
    const unsigned __int128 by = static_cast<unsigned __int128>(y >> (x & 63)) << (y & 63) | 1;
    const __int128 odd = static_cast<__int128>(wide) / static_cast<__int128>(by | 2);
    const unsigned __int128 sum = wide / by + wide % by * 3 + static_cast<unsigned __int128>(odd);
    return static_cast<unsigned long long>(sum) ^ static_cast<unsigned long long>(sum >> 64);
  };
  compare<unsigned long long>(mixed, mixed, u, v);
}

CASE(float32) {
  const auto a = reals<float>(1, 100), b = reals<float>(2, 3);
  BOTH(float, a, b, x + y);
  BOTH(float, a, b, x - y);
  compare<float>([] __device__(float x, float y) { return __fmul_rn(x, y); }, [](float x, float y) { return x * y; }, a,
                 b);
  BOTH(float, a, b, x / y);
  BOTH(float, a, b, sqrtf(fabsf(x)) + (y < x ? 1.0f : 0.0f));
  compare<float>([] __device__(float x, float y) { return __fmaf_rn(x, y, x); },
                 [](float x, float y) { return fmaf(x, y, x); }, a, b);
  BOTH(float, a, b, fminf(x, y));
  BOTH(float, a, b, fmaxf(x, y));
  BOTH(float, a, b, -x*(y == y ? 1.0f : 2.0f));
  BOTH(float, a, b, floorf(x) + ceilf(y));
  BOTH(float, a, b, truncf(x) + rintf(y));
  compare<float>([] __device__(float x, float y) { return __expf(y) + (x > 1e30f ? 1 : 0); },
                 [](float x, float y) { return expf(y) + (x > 1e30f ? 1 : 0); }, a, b, 1e-6);
  BOTH(float, a, b, y != y || y == 0 ? 0 : copysignf(x, y));
  compare<float>([] __device__(float x, float y) { return expf(y) * (x == x ? 1 : 2); },
                 [](float x, float y) { return expf(y) * (x == x ? 1 : 2); }, a, b, 1e-6);
  compare<float>([] __device__(float x, float) { return logf(fabsf(x)); },
                 [](float x, float) { return logf(fabsf(x)); }, a, b, 1e-6);
  compare<float>([] __device__(float x, float y) { return sinf(x) + cosf(y); },
                 [](float x, float y) { return sinf(x) + cosf(y); }, a, b, 1e-6);
  compare<float>([] __device__(float x, float y) { return tanhf(x * 0.05f) + rsqrtf(fabsf(y)); },
                 [](float x, float y) { return tanhf(x * 0.05f) + 1 / sqrtf(fabsf(y)); }, a, b, 1e-6);
  compare<float>([] __device__(float x, float y) { return powf(fabsf(y), 1.7f) + erff(x); },
                 [](float x, float y) { return powf(fabsf(y), 1.7f) + erff(x); }, a, b, 2e-6);
}

template <class F, class G>
void directed(F device, G host, int mode, const std::vector<float>& a, const std::vector<float>& b) {
  compare<float>(
      device,
      [=](float x, float y) {
        std::fesetround(mode);
        volatile float p = x, q = y;
        volatile float r = host(p, q);
        std::fesetround(FE_TONEAREST);
        return float(r);
      },
      a, b);
}
CASE(rounding_modes) {
  const auto a = reals<float>(1, 100), b = reals<float>(2, 3);
  auto add = [](float x, float y) { return x + y; };
  auto div = [](float x, float y) { return x / y; };
  directed([] __device__(float x, float y) { return __fadd_rz(x, y); }, add, FE_TOWARDZERO, a, b);
  directed([] __device__(float x, float y) { return __fadd_ru(x, y); }, add, FE_UPWARD, a, b);
  directed([] __device__(float x, float y) { return __fadd_rd(x, y); }, add, FE_DOWNWARD, a, b);
  directed([] __device__(float x, float y) { return __fdiv_rd(x, y); }, div, FE_DOWNWARD, a, b);
  directed([] __device__(float x, float y) { return __fmul_rz(x, y); }, [](float x, float y) { return x * y; },
           FE_TOWARDZERO, a, b);
  compare<int>(
      [] __device__(float x, float) {
        return __float2int_rn(x) ^ __float2int_rz(x) ^ __float2int_ru(x) ^ __float2int_rd(x);
      },
      [](float x, float) {
        auto c = [&](float v) {
          return v != v ? 0 : v >= 2147483648.f ? 2147483647 : v < -2147483648.f ? -2147483647 - 1 : int(v);
        };
        return c(rintf(x)) ^ c(truncf(x)) ^ c(ceilf(x)) ^ c(floorf(x));
      },
      a, b);
  const auto big = reals<float>(3, 1e20);
  auto clamp = [](float v, double low, double high) {
    return v != v ? 0.0 : v < low ? low : v > high ? high : trunc(double(v));
  };
  compare<double>([] __device__(float x, float) { return double(int(x)) + double(unsigned(x)); },
                  [=](float x, float) { return clamp(x, -2147483648.0, 2147483647.0) + clamp(x, 0, 4294967295.0); },
                  big, b);
  compare<long long>([] __device__(float x, float) { return (long long)x; },
                     [](float x, float) {
                       return x != x                         ? -9223372036854775807ll - 1
                              : x >= 9.2233720368547758e18f  ? 9223372036854775807ll
                              : x <= -9.2233720368547758e18f ? -9223372036854775807ll - 1
                                                             : (long long)x;
                     },
                     big, b, 1e-18);
  const auto d = reals<double>(4, 1e5), e = reals<double>(5, 1e-3);
  BOTH(double, d, e, x* y + x / y);
  BOTH(float, d, e, float(x) + float(y));
  compare<float>([] __device__(double x, double) { return __double2float_rz(x); },
                 [](double x, double) {
                   std::fesetround(FE_TOWARDZERO);
                   volatile double p = x;
                   volatile float r = float(p);
                   std::fesetround(FE_TONEAREST);
                   return float(r);
                 },
                 d, e);
  compare<double>([] __device__(double x, double y) { return sqrt(fabs(x)) + exp(y) + log(fabs(x) + 1) + sin(y); },
                  [](double x, double y) { return sqrt(fabs(x)) + exp(y) + log(fabs(x) + 1) + sin(y); }, d, e, 1e-14);
  const auto i = integers<long long>(6), j = integers<long long>(7);
  BOTH(float, i, j, float(x) + float(int(y)));
  BOTH(double, i, j, double(x) + double((unsigned long long)y));
}

CASE(halves) {
  const auto a = reals<float>(1, 300), b = reals<float>(2, 2);
  auto round_half = [](float x) { return float(__half(x)); };
  auto round_brain = [](float x) { return float(__nv_bfloat16(x)); };
  compare<float>([] __device__(float x, float y) { return float(__half(x)) + 0 * (y == 9); },
                 [=](float x, float) { return round_half(x); }, a, b);
  compare<float>([] __device__(float x, float y) { return float(__nv_bfloat16(x)) + 0 * (y == 9); },
                 [=](float x, float) { return round_brain(x); }, a, b);
  compare<float>([] __device__(float x, float y) { return float(__hadd(__half(x), __half(y))); },
                 [=](float x, float y) { return round_half(round_half(x) + round_half(y)); }, a, b);
  compare<float>([] __device__(float x, float y) { return float(__hmul(__half(x), __half(y))); },
                 [=](float x, float y) { return round_half(round_half(x) * round_half(y)); }, a, b);
  compare<float>([] __device__(float x, float y) { return float(__hfma(__half(x), __half(y), __half(x))); },
                 [=](float x, float y) {
                   return float(__half(fma(double(round_half(x)), double(round_half(y)), double(round_half(x)))));
                 },
                 a, b);
  compare<float>(
      [] __device__(float x, float y) { return float(__hfma(__nv_bfloat16(x), __nv_bfloat16(y), __nv_bfloat16(x))); },
      [=](float x, float y) {
        return float(__nv_bfloat16(fma(double(round_brain(x)), double(round_brain(y)), double(round_brain(x)))));
      },
      a, b);
  compare<float>(
      [] __device__(float x, float y) {
        const __half2 s = __hadd2(__floats2half2_rn(x, y), __floats2half2_rn(y, y));
        return float(s.x) - float(s.y);
      },
      [=](float x, float y) { return round_half(round_half(x) + round_half(y)) - round_half(2 * round_half(y)); }, a,
      b);
  compare<float>(
      [] __device__(float x, float y) {
        const __nv_bfloat162 s = __floats2bfloat162_rn(x, y);
        return float(s.x) + 2 * float(s.y);
      },
      [=](float x, float y) { return round_brain(x) + 2 * round_brain(y); }, a, b);
  compare<int>(
      [] __device__(float x, float y) { return int(__hlt(__half(x), __half(y))) + 2 * __half2int_rz(__half(y)); },
      [=](float x, float y) {
        const float q = round_half(y);
        return int(round_half(x) < q) + 2 * (q != q ? 0 : q > 1e9 ? 2147483647 : q < -1e9 ? -2147483647 - 1 : int(q));
      },
      a, b);
  compare<float>(
      [] __device__(float x, float y) { return __half2float(__float2half_rd(x)) + __half2float(__float2half_ru(y)); },
      [](float x, float y) { return float(__float2half_rd(x)) + float(__float2half_ru(y)); }, a, b);
}

// An integer is rounded once and as told, however many bits it has.
CASE(integers_to_halves) {
  std::vector<int> a = {2049, 2050, 2051, -2049, -2051, 65504, 65519, 65520, 70000, -70000, 0, 1, 4098, 4102};
  std::vector<long long> b;  // beside the values half way between two of bfloat16's
  for (const long long top : {1ll << 20, 1ll << 45, 1ll << 62})
    for (const long long nudge : {-1, 0, 1}) {
      b.push_back(top + top / 256 + nudge);
      b.push_back(top + 3 * (top / 256) + nudge);
    }
  a.resize(b.size(), 7);
  compare<float>([] __device__(int x, long long) { return float(__int2half_rz(x)); },
                 [](int x, long long) {
                   const int clipped = std::min(std::max(x, -65504), 65504);
                   float unit = 1;
                   while (std::fabs(clipped) / unit >= 2048) unit *= 2;
                   return std::trunc(clipped / unit) * unit;
                 },
                 a, b);
  compare<float>([] __device__(int x, long long) { return float(__int2half_ru(x)) - float(__int2half_rd(x)); },
                 [](int x, long long) {
                   if (std::abs(x) > 65504) return HUGE_VALF;
                   float unit = 1;
                   while (std::abs(x) / unit >= 2048) unit *= 2;
                   return x / unit == std::trunc(x / unit) ? 0.0f : unit;
                 },
                 a, b);
  compare<float>([] __device__(int, long long x) { return float(__ll2bfloat16_rn(x)); },
                 [](int, long long x) {
                   long long unit = 1;
                   while (x / unit >= 256) unit *= 2;
                   const long long below = x / unit * unit, rest = x - below;
                   const bool up = rest * 2 > unit || (rest * 2 == unit && below / unit % 2);
                   return static_cast<float>(up ? below + unit : below);
                 },
                 a, b);
}

// The product lies half way between two values; the addend says which way, however small it is.
CASE(fused_bfloat16_ties) {
  const float factor = 1.0625f;  // its square is 1.125 + 2^-8
  std::vector<float> addend = {0x1p-100f, -0x1p-100f, 0.0f, 0x1p-20f, -0x1p-20f};
  std::vector<float> factors(addend.size(), factor);
  compare<float>(
      [] __device__(float c, float x) { return float(__hfma(__nv_bfloat16(x), __nv_bfloat16(x), __nv_bfloat16(c))); },
      [](float c, float) { return c > 0 ? 1.125f + 0x1p-7f : 1.125f; }, addend, factors);
}

__host__ __device__ float flushed(float x) {
  return x > -0x1p-126f && x < 0x1p-126f ? copysignf(0.0f, x) : x;
}
#define PTX_FLOAT(text, expression)           \
  compare<float>(                             \
      [] __device__(float x, float y) {       \
        float r;                              \
        asm(text : "=f"(r) : "f"(x), "f"(y)); \
        return r;                             \
      },                                      \
      [](float x, float y) -> float { return y == y ? expression : 0; }, a, b)
CASE(flush_to_zero) {
  std::vector<float> a = {0x1p-130f, -0x1p-130f, 0x1p-126f, 3, -3, 0, INFINITY}, b(a.size(), 0x1p-140f);
  PTX_FLOAT("abs.ftz.f32 %0, %1;", flushed(std::fabs(x)));
  PTX_FLOAT("neg.ftz.f32 %0, %1;", flushed(-x));
  PTX_FLOAT("min.ftz.f32 %0, %1, %2;", x < 0 ? flushed(x) : 0.0f);
  PTX_FLOAT("cvt.ftz.f32.f32 %0, %1;", flushed(x));
  PTX_FLOAT("abs.f32 %0, %1;", std::fabs(x));
}

#define PTX_INTEGER(text, expression)         \
  compare<int>(                               \
      [] __device__(int x, int y) {           \
        int r;                                \
        asm(text : "=r"(r) : "r"(x), "r"(y)); \
        return r;                             \
      },                                      \
      [](int x, int y) -> int { return static_cast<int>(expression); }, a, b)
long long low24(int x) {
  return static_cast<int>(unsigned(x) << 8) >> 8;
}
int within(long long x, long long low, long long high) {
  return static_cast<int>(std::min(std::max(x, low), high));
}
CASE(rare_integer_forms) {
  const auto a = integers<int>(21), b = integers<int>(22);
  PTX_INTEGER("mad24.hi.s32 %0, %1, %2, %1;", unsigned(low24(x) * low24(y) >> 16) + unsigned(x));
  PTX_INTEGER("mad24.hi.sat.s32 %0, %1, %2, %1;",
              within(static_cast<int>(low24(x) * low24(y) >> 16) + static_cast<long long>(x), INT32_MIN, INT32_MAX));
  PTX_INTEGER("cvt.pack.sat.u16.s32 %0, %1, %2;", unsigned(within(x, 0, 65535)) << 16 | within(y, 0, 65535));
  PTX_INTEGER("cvt.pack.sat.s8.s32.b32 %0, %1, %2, %1;",
              unsigned(x) << 16 | (within(x, -128, 127) & 255) << 8 | (within(y, -128, 127) & 255));
  PTX_INTEGER("{.reg .b16 t; cvt.u16.u32 t, %1; mov.b32 %0, {t, t};}", (x & 65535) * 65537u);
}

__global__ void pairs_of_brains(const unsigned* in, unsigned* out) {
  const int i = threadIdx.x;
  asm("ex2.approx.ftz.bf16x2 %0, %1;" : "=r"(out[i]) : "r"(in[i]));
  asm("min.xorsign.abs.f16x2 %0, %1, %2;" : "=r"(out[32 + i]) : "r"(in[i]), "r"(in[31 - i]));
  asm("max.NaN.xorsign.abs.bf16x2 %0, %1, %2;" : "=r"(out[64 + i]) : "r"(in[i]), "r"(in[31 - i]));
}
CASE(powers_and_magnitudes_of_pairs) {
  std::vector<unsigned> in(32);
  for (int i = 0; i < 32; ++i) {
    const __nv_bfloat16 power(float(3 * i - 60)), other(i % 2 ? -0.5f : 0.25f);
    in[i] = __bfloat16_as_ushort(power) | unsigned(__bfloat16_as_ushort(other)) << 16;
  }
  Device<unsigned> from(in), to(96);
  pairs_of_brains<<<1, 32>>>(from, to);
  const auto got = to.get();
  for (int i = 0; i < 32; ++i) {
    CHECK(got[i] << 16 == unsigned(__bfloat16_as_ushort(__nv_bfloat16(std::exp2(float(3 * i - 60)))))
                              << 16);  // tiny ones too
    for (int k = 0; k < 32; k += 16) {
      const unsigned a = in[i] >> k & 65535, b = in[31 - i] >> k & 65535,
                     sign = (a ^ b) & 0x8000;  // ordered as integers
      CHECK((got[32 + i] >> k & 65535) == (std::min(a & 0x7fff, b & 0x7fff) | sign));
      CHECK((got[64 + i] >> k & 65535) == (std::max(a & 0x7fff, b & 0x7fff) | sign));
    }
  }
}
