#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "kernels/empirical_score/empirical_score.h"
#include "kernels/runtime/random.h"
#include "tests/cuda/mutation.h"
#include "tests/vgpu/core/kernel_name.h"

// What parity does not see of the empirical score on cuda: outputs that are left out, and how much work is done.
namespace tweedie {
namespace {

constexpr std::int64_t rows = 2500, width = 48, batch = 31, neighbours = 3;

Stream& cuda() {
  return default_stream({DeviceKind::cuda, 0});
}

struct Block {
  explicit Block(const Shape& shape, DType dtype = DType::float32)
      : array{cuda().allocator().allocate(static_cast<std::size_t>(shape.count()) * size_of(dtype)), shape, dtype} {}
  ~Block() { cuda().allocator().release(array.data); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> out(static_cast<std::size_t>(array.count()) * size_of(array.dtype));
    cuda().copy_to_host(out.data(), array.data, out.size());
    return out;
  }
  template <class T>
  void set(const std::vector<T>& values) {
    cuda().copy_from_host(array.data, values.data(), values.size() * sizeof(T));
  }
  Array array;
};

/// Bytes at random, points around them at one noise level.
struct Setting {
  explicit Setting(double noise) {
    std::vector<std::uint8_t> bytes(rows * width);
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<std::uint8_t>(uniform_integer({.seed = 1}, static_cast<std::uint32_t>(i), 256));
    std::vector<float> at(batch * width);
    for (std::size_t i = 0; i < at.size(); ++i)
      at[i] = static_cast<float>(normal({.seed = 2}, 0, static_cast<std::uint32_t>(i)));
    data.set(bytes);
    points.set(at);
    alpha.set(std::vector<float>(batch, 0.8f));
    sigma.set(std::vector<float>(batch, static_cast<float>(noise)));
    prepare_empirical_data(cuda(), {.data = data.array, .centre = centre.array, .squared_norms = norms.array});
  }
  void evaluate(bool near) {
    evaluate_empirical_score(cuda(), {.data = data.array,
                                      .centre = centre.array,
                                      .squared_norms = norms.array,
                                      .points = points.array,
                                      .alpha = alpha.array,
                                      .sigma = sigma.array,
                                      .x0 = x0.array,
                                      .score = score.array,
                                      .neighbours = near ? indices.array : Array{},
                                      .neighbour_distances = near ? distances.array : Array{},
                                      .entropy = entropy.array});
  }
  Block data{{rows, width}, DType::uint8}, centre{{width}, DType::float64}, norms{{rows}, DType::float64};
  Block points{{batch, width}}, alpha{{batch}}, sigma{{batch}};
  Block x0{{batch, width}}, score{{batch, width}}, entropy{{batch}};
  Block indices{{batch, neighbours}, DType::int64}, distances{{batch, neighbours}};
};

TEST(CudaEmpiricalScore, IsTheSameWithoutNeighbours) {
  for (const double noise : {0.02, 0.3, 100.0}) {
    Setting setting(noise);
    setting.evaluate(true);
    const auto x0 = setting.x0.bytes(), score = setting.score.bytes(), entropy = setting.entropy.bytes();
    setting.evaluate(false);
    EXPECT_EQ(setting.x0.bytes(), x0) << noise;
    EXPECT_EQ(setting.score.bytes(), score) << noise;
    EXPECT_EQ(setting.entropy.bytes(), entropy) << noise;
  }
}

/// Launches of the kernel in one evaluation.
int launches(double noise, const std::string& kernel) {
  Setting setting(noise);
  testing_tools::launched_kernels().clear();
  setting.evaluate(true);
  int count = 0;
  for (const auto& [name, times] : testing_tools::launched_kernels())
    if (vgpu::plain_name(name) == kernel) count += times;
  return count;
}

TEST(CudaEmpiricalScore, LeavesManyDataOfWeightToAMatrixProduct) {
  const int tiles = launches(100.0, "scan_kernel");
  EXPECT_EQ(launches(100.0, "add_dense_kernel"), tiles);
  EXPECT_EQ(launches(100.0, "gather_kernel"), tiles) << "float32 serves: nothing is done again";
  EXPECT_EQ(launches(0.02, "add_dense_kernel"), 0);
}

}  // namespace
}  // namespace tweedie
