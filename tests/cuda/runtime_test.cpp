#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/elementwise/elementwise.h"
#include "kernels/runtime/cuda.h"
#include "kernels/runtime/pinned_staging.h"
#include "kernels/runtime/random.h"
#include "kernels/runtime/validation.h"

namespace tweedie {
namespace {

Stream& cuda() {
  return default_stream({DeviceKind::cuda, 0});
}

/// A device array of floats for one test.
class Floats {
 public:
  explicit Floats(const std::vector<float>& values)
      : array_{cuda().allocator().allocate(values.size() * sizeof(float)),
               Shape{static_cast<std::int64_t>(values.size())}} {
    cuda().copy_from_host(array_.data, values.data(), values.size() * sizeof(float));
  }
  ~Floats() { cuda().allocator().release(array_.data); }
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;
  const Array& array() const { return array_; }
  std::vector<float> values() const {
    std::vector<float> out(static_cast<std::size_t>(array_.count()));
    cuda().copy_to_host(out.data(), array_.data, out.size() * sizeof(float));
    return out;
  }

 private:
  Array array_;
};

std::vector<float> ramp(std::size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

TEST(CudaStream, CopiesLargerThanItsStagingArriveWhole) {
  const std::vector<float> values = ramp((9 << 20) / 4 + 3);  // more than two pieces of 4 MiB, and a rest
  const Floats on_device(values);
  EXPECT_EQ(on_device.values(), values);
}

TEST(CudaStream, SourceMayChangeOnceACopyIsIssued) {
  std::vector<float> values = ramp(1000);
  const Floats first(values);
  const std::vector<float> before = values;
  values.assign(1000, 0.0f);
  const Floats second(values);
  EXPECT_EQ(first.values(), before);
}

// More than the staging ring holds, each copy over the one before it and read by a kernel in between: a copy that came
// too early, too late or from a place that was used again would be seen, on a device that works beside the host.
TEST(CudaStream, ManyCopiesOfEverySizeArriveInOrder) {
  constexpr std::int64_t largest = 300000;
  const Floats target{std::vector<float>(largest)}, sum{std::vector<float>(largest)};
  std::vector<float> expected(largest), values(largest);
  const auto part = [](const Floats& floats, std::int64_t count) { return Array{floats.array().data, Shape{count}}; };
  for (int i = 0; i < 64; ++i) {
    const std::int64_t count = std::array<std::int64_t, 4>{1, 1000, 20000, largest}[static_cast<std::size_t>(i % 4)];
    for (std::int64_t k = 0; k < count; ++k) {
      values[static_cast<std::size_t>(k)] = static_cast<float>(i + k % 7);
      expected[static_cast<std::size_t>(k)] += values[static_cast<std::size_t>(k)];
    }
    cuda().copy_from_host(target.array().data, values.data(), static_cast<std::size_t>(count) * sizeof(float));
    scale_add(cuda(), {.a = part(sum, count), .b = part(target, count), .out = part(sum, count), .scale_b = 1.0});
  }
  EXPECT_EQ(sum.values(), expected);
}

// Its ring on the device may be a block that the pool got back from work that has not run yet.
TEST(PinnedStaging, LeavesEarlierWorkItsMemory) {
  constexpr std::size_t ring_bytes = std::size_t{16} << 20, count = 20000;
  const Floats target{std::vector<float>(count)}, zeros{std::vector<float>(count, 1.0f)};
  const std::vector<float> values = ramp(count);
  Allocator& allocator = cuda().allocator();
  for (int round = 0; round < 4; ++round) {
    void* const block = allocator.allocate(ring_bytes);
    cuda().zero(block, ring_bytes);
    cuda().copy(zeros.array().data, block, count * sizeof(float));
    allocator.release(block);
    static std::vector<std::unique_ptr<PinnedStaging>> stagings;  // they keep their memory, like that of the stream
    stagings.push_back(std::make_unique<PinnedStaging>(allocator));
    stagings.back()->to_device(cuda_handle(cuda()), target.array().data, values.data(), count * sizeof(float));
    EXPECT_EQ(zeros.values(), std::vector<float>(count));
    EXPECT_EQ(target.values(), values);
  }
}

TEST(CudaStream, CopiesAndZeroesOnTheDevice) {
  const Floats a(ramp(100)), b(std::vector<float>(100, 5.0f));
  cuda().copy(b.array().data, a.array().data, 50 * sizeof(float));
  cuda().zero(a.array().data, 10 * sizeof(float));
  EXPECT_EQ(b.values()[49], 50.0f);
  EXPECT_EQ(b.values()[50], 5.0f);
  EXPECT_EQ(a.values()[9], 0.0f);
  EXPECT_EQ(a.values()[10], 11.0f);
}

TEST(CudaAllocator, CountsAndReusesBlocks) {
  Allocator& allocator = cuda().allocator();
  void* first = allocator.allocate(100000);
  const AllocatorStatistics held = allocator.statistics();
  allocator.release(first);
  EXPECT_GE(held.bytes_in_use - allocator.statistics().bytes_in_use, 100000);
  void* second = allocator.allocate(100000);
  if (std::getenv("TWEEDIE_CUDA_ALLOCATOR") == nullptr) {
    EXPECT_EQ(first, second);
    EXPECT_EQ(allocator.statistics().system_calls, held.system_calls);
  }
  EXPECT_EQ(allocator.block_of(static_cast<std::byte*>(second) + 99999).data, second);
  allocator.release(second);
}

TEST(CudaRandom, NormalsAreThoseOfTheHostToTheLastBit) {
  const RandomKey key{.seed = 0x0123456789abcdefu, .purpose = Purpose::noise, .step = 9};
  constexpr std::int64_t rows = 7, width = 1001;
  const Floats out(std::vector<float>(rows * width));
  fill_normal(cuda(), {.out = {out.array().data, {rows, width}}, .samples = {}, .first_sample = 41, .key = key});
  const std::vector<float> got = out.values();
  for (std::int64_t n = 0; n < rows; ++n)
    for (std::int64_t i = 0; i < width; ++i)
      ASSERT_EQ(got[n * width + i], normal(key, static_cast<std::uint32_t>(41 + n), static_cast<std::uint32_t>(i)))
          << "row " << n << " entry " << i;
}

/// out = scale a + 1, then doubled: uploads `a`, uses memory of its own.
void example_work(const std::vector<float>& values, double scale, const Array& out) {
  const Floats a(values);
  const Floats product(values);
  scale_add(cuda(), {.a = a.array(), .b = {}, .out = product.array(), .scale_a = scale, .constant = 1.0});
  binary(cuda(), {.kind = BinaryKind::add, .a = product.array(), .b = product.array(), .out = out});
}

TEST(CudaGraph, GivesWhatEagerWorkGives) {
  const std::unique_ptr<Graph> graph = cuda().make_graph();
  const Floats eager(std::vector<float>(301)), captured(std::vector<float>(301));
  for (int step = 0; step < 4; ++step) {  // other values and another argument each time: the graph is updated
    std::vector<float> values = ramp(301);
    for (float& value : values) value *= static_cast<float>(step + 1);
    example_work(values, 0.5 + step, eager.array());
    graph->run([&] { example_work(values, 0.5 + step, captured.array()); });
    EXPECT_EQ(captured.values(), eager.values());
  }
}

TEST(CudaGraph, TakesOtherKernelsThanLastTime) {
  const std::unique_ptr<Graph> graph = cuda().make_graph();
  const Floats a(ramp(64)), out(std::vector<float>(64));
  graph->run([&] { unary(cuda(), {.kind = UnaryKind::square, .x = a.array(), .y = out.array()}); });
  EXPECT_EQ(out.values()[2], 9.0f);
  graph->run([&] {
    scale_add(cuda(), {.a = a.array(), .b = {}, .out = out.array(), .scale_a = 2.0});
    unary(cuda(), {.kind = UnaryKind::negate, .x = out.array(), .y = out.array()});
  });
  EXPECT_EQ(out.values()[2], -6.0f);
}

TEST(CudaGraph, RefusesToReadValuesBack) {
  const std::unique_ptr<Graph> graph = cuda().make_graph();
  const Floats a(ramp(64));
  EXPECT_THROW(graph->run([&] { a.values(); }), Error);
  EXPECT_EQ(a.values()[3], 4.0f);  // the stream is usable again
}

// What captured work releases must stand until the graph has run, though the pool is asked to give memory back before.
TEST(CudaGraph, KeepsMemoryThatItsWorkReleased) {
  const std::unique_ptr<Graph> graph = cuda().make_graph();
  const Floats out(std::vector<float>(64)), ones(std::vector<float>(64, 1.0f));
  graph->run([&] {
    {
      const Floats own(ramp(64));
      binary(cuda(), {.kind = BinaryKind::add, .a = own.array(), .b = ones.array(), .out = out.array()});
    }
    cuda().allocator().trim();
  });
  EXPECT_EQ(out.values()[2], 4.0f);
}

struct Doubling {
  Array x, y;
};

TEST(Validation, NoticesAResultThatDiffersFromTheHosts) {
  const Floats x(ramp(128)), y(std::vector<float>(128, 7.0f));  // whole blocks of the pool
  HostMirror mirror(cuda());
  const Doubling arguments{x.array(), y.array()};
  const Doubling on_host = mirror.on_host(arguments);
  ASSERT_NE(on_host.x.data, x.array().data);
  EXPECT_EQ(on_host.x.as<float>()[3], 4.0f);
  EXPECT_NO_THROW(mirror.compare("doubling"));
  on_host.y.as<float>()[42] = 8.0f;
  try {
    mirror.compare("doubling");
    FAIL() << "nothing was noticed";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("element 42"), std::string::npos) << error.what();
  }
}

TEST(Validation, AllowsBfloat16OneEpsilonOfTheLargest) {
  const Floats values(ramp(128));
  void* memory = cuda().allocator().allocate(128 * 2);
  const Array x{memory, {128}, DType::bfloat16};
  cast(cuda(), {.x = values.array(), .y = x});
  {
    HostMirror mirror(cuda());
    const Doubling on_host = mirror.on_host(Doubling{x, x});
    EXPECT_EQ(on_host.x.data, on_host.y.data);
    auto* bits = static_cast<std::uint16_t*>(on_host.x.data);
    EXPECT_EQ(bits[3], 0x4080);  // 4
    EXPECT_NO_THROW(mirror.compare("doubling"));
    bits[63] = 0x4281;  // 64.5 for 64: within an epsilon of the largest, 128
    EXPECT_NO_THROW(mirror.compare("doubling"));
    bits[63] = 0x4283;  // 65.5: beyond
    EXPECT_THROW(mirror.compare("doubling"), Error);
  }
  cuda().allocator().release(memory);
}

}  // namespace
}  // namespace tweedie
