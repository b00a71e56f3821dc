#include "kernels/runtime/random.h"

#include <Random123/philox.h>

#include "kernels/runtime/normal.h"

namespace tweedie {

PhiloxBlock philox(const RandomKey& key, std::uint32_t sample, std::uint32_t block) {
  using Generator = r123::Philox4x32;
  const Generator::ctr_type counter = {{block, key.step, sample, static_cast<std::uint32_t>(key.purpose)}};
  const Generator::key_type seed = {{static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32)}};
  const Generator::ctr_type out = Generator()(counter, seed);
  return {{out[0], out[1], out[2], out[3]}};
}

double uniform(const RandomKey& key, std::uint32_t sample, std::uint32_t position) {
  const std::uint32_t word = philox(key, sample, position / 4).words[position % 4];
  return (static_cast<double>(word) + 0.5) * 0x1p-32;
}

float normal(const RandomKey& key, std::uint32_t sample, std::uint32_t position) {
  const PhiloxBlock block = philox(key, sample, position / 4);
  const std::uint32_t* words = block.words + position % 4 / 2 * 2;
  float even, odd;
  normal_pair(words[0], words[1], even, odd);
  return position % 2 == 0 ? even : odd;
}

std::int64_t uniform_integer(const RandomKey& key, std::uint32_t sample, std::int64_t bound, std::uint32_t position) {
  require(bound > 0, "uniform_integer: bound {} must be positive", bound);
  const PhiloxBlock block = philox(key, sample, position / 2);
  const std::uint32_t* words = block.words + 2 * (position % 2);
  const std::uint64_t word = (static_cast<std::uint64_t>(words[1]) << 32) | words[0];
  return static_cast<std::int64_t>((static_cast<unsigned __int128>(word) * static_cast<std::uint64_t>(bound)) >> 64);
}

void validate(const FillNormal& arguments) {
  require(arguments.out && arguments.out.shape.rank() == 2, "fill_normal: out must be (N, D), got {}",
          arguments.out.shape);
  require(!arguments.samples ||
              (arguments.samples.dtype == DType::int64 && arguments.samples.shape == Shape({arguments.out.shape[0]})),
          "fill_normal: samples must be int64 of shape ({}), got {} {}", arguments.out.shape[0],
          name_of(arguments.samples.dtype), arguments.samples.shape);
}

double flops(const FillNormal& arguments) {
  return 20.0 * static_cast<double>(arguments.out.count());
}
double bytes_moved(const FillNormal& arguments) {
  return static_cast<double>(arguments.out.bytes() + (arguments.samples ? arguments.samples.bytes() : 0));
}

}  // namespace tweedie
