#include "kernels/noising/noising.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/noising/noising_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/noising/noising_row.h"
#include "kernels/runtime/normal-inl.h"
#include "kernels/runtime/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

/// v / 127.5 - 1 = (2 v - 255) / 255, with one rounding.
void bytes_to_floats(const std::uint8_t* bytes, std::int64_t count, float* out) {
  std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const FloatTag d;
  const hn::RebindToSigned<FloatTag> di;
  const hn::Rebind<std::uint8_t, FloatTag> db;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (; i + lanes <= count; i += lanes) {
    const auto v = hn::PromoteTo(di, hn::LoadU(db, bytes + i));
    const auto centred = hn::ConvertTo(d, hn::Sub(hn::Add(v, v), hn::Set(di, 255)));
    // The quotient times 255 falls short by a remainder that is exact: one step gives what a division would round to.
    const auto inverse = hn::Set(d, 1.0f / 255.0f);
    const auto quotient = hn::Mul(centred, inverse);
    const auto remainder = hn::NegMulAdd(quotient, hn::Set(d, 255.0f), centred);
    hn::StoreU(hn::MulAdd(remainder, inverse, quotient), d, out + i);
  }
#endif
  for (; i < count; ++i) out[i] = static_cast<float>(2 * bytes[i] - 255) / 255.0f;
}

void noise_row(const NoisingRow& row, const RandomKey& key, std::int64_t count) {
  constexpr std::int64_t piece = 1024;  // image and noise of a piece stay in the nearest cache
  HWY_ALIGN float image_buffer[piece];
  HWY_ALIGN float noise_buffer[piece];
  for (std::int64_t first = 0; first < count; first += piece) {
    const std::int64_t length = std::min(piece, count - first);
    float* noise = row.noise != nullptr ? row.noise + first : noise_buffer;
    fill_normals(key, row.sample, first, length, noise);
    const float* image = row.floats + first;
    if (row.bytes != nullptr) {
      float* converted = row.clean != nullptr ? row.clean + first : image_buffer;
      bytes_to_floats(row.bytes + first, length, converted);
      image = converted;
    } else if (row.clean != nullptr) {
      std::copy(image, image + length, row.clean + first);
    }
    for_each_vector(length, [&](auto d, std::int64_t i) HWY_ATTR {
      const auto x = hn::LoadU(d, image + i), e = hn::LoadU(d, noise + i);
      const auto z = hn::MulAdd(hn::Set(d, row.sigma), e, hn::Mul(hn::Set(d, row.alpha), x));
      hn::StoreU(z, d, row.z + first + i);
      if (row.target != nullptr) {
        const auto target = hn::MulAdd(hn::Set(d, row.target_noise), e, hn::Mul(hn::Set(d, row.target_clean), x));
        hn::StoreU(target, d, row.target + first + i);
      }
    });
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {

constinit Operation<NoiseImages> noise_images{"noise_images"};

namespace {

HWY_EXPORT(noise_row);

void noise_images_cpu(Stream&, const NoiseImages& arguments) {
  const std::int64_t width = arguments.images.shape[1], images = arguments.images.shape[0];
  const std::int64_t* indices = arguments.indices.as<std::int64_t>();
  for (std::int64_t n = 0; n < arguments.z.shape[0]; ++n)
    require(indices[n] >= 0 && indices[n] < images, "noise_images: indices[{}] is {}, expected 0 to {}", n, indices[n],
            images - 1);
  const bool bytes = arguments.images.dtype == DType::uint8;
  const auto row_of = [&](const Array& array, std::int64_t n) {
    return array ? array.as<float>() + n * width : nullptr;
  };
  parallel_for(arguments.z.shape[0], std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(1, width)),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t n = first; n < last; ++n) {
                   const NoisingRow row{
                       .bytes = bytes ? arguments.images.as<std::uint8_t>() + indices[n] * width : nullptr,
                       .floats = bytes ? nullptr : arguments.images.as<float>() + indices[n] * width,
                       .sample = static_cast<std::uint32_t>(arguments.samples.as<std::int64_t>()[n]),
                       .alpha = arguments.alpha.as<float>()[n],
                       .sigma = arguments.sigma.as<float>()[n],
                       .target_clean = arguments.target ? arguments.target_clean.as<float>()[n] : 0.0f,
                       .target_noise = arguments.target ? arguments.target_noise.as<float>()[n] : 0.0f,
                       .z = row_of(arguments.z, n),
                       .target = row_of(arguments.target, n),
                       .clean = row_of(arguments.clean, n),
                       .noise = row_of(arguments.noise, n)};
                   HWY_DYNAMIC_DISPATCH(noise_row)(row, arguments.key, width);
                 }
               });
}

const bool registered = noise_images.implement(DeviceKind::cpu, &noise_images_cpu);

}  // namespace
}  // namespace tweedie
#endif  // HWY_ONCE
