#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "kernels/empirical_score/empirical_score.h"
#include "kernels/runtime/error.h"
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
  EvaluateEmpiricalScore arguments() const {
    return {.data = data.array,
            .centre = centre.array,
            .squared_norms = norms.array,
            .points = points.array,
            .alpha = alpha.array,
            .sigma = sigma.array,
            .x0 = x0.array,
            .score = score.array,
            .neighbours = indices.array,
            .neighbour_distances = distances.array,
            .entropy = entropy.array,
            .r_star = r_star.array};
  }
  void evaluate(bool near) const {
    EvaluateEmpiricalScore wanted = arguments();
    if (!near) wanted.neighbours = wanted.neighbour_distances = {};
    evaluate_empirical_score(cuda(), wanted);
  }
  Block data{{rows, width}, DType::uint8}, centre{{width}, DType::float64}, norms{{rows}, DType::float64};
  Block points{{batch, width}}, alpha{{batch}}, sigma{{batch}};
  Block x0{{batch, width}}, score{{batch, width}}, entropy{{batch}}, r_star{{batch}};
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

// Points far from all data have much larger products with them: what these leave in the allocator's memory would hide
// neighbours of other points.
TEST(CudaEmpiricalScore, DoesNotSeeWhatMemoryHeldBefore) {
  for (const double noise : {0.02, 100.0}) {
    Setting setting(noise);
    const auto near = setting.points.bytes();
    setting.evaluate(true);
    const auto x0 = setting.x0.bytes(), indices = setting.indices.bytes(), distances = setting.distances.bytes();
    const auto r_star = setting.r_star.bytes();
    setting.points.set(std::vector<float>(batch * width, 10.0f));
    setting.evaluate(true);
    setting.points.set(near);
    setting.evaluate(true);
    EXPECT_EQ(setting.x0.bytes(), x0) << noise;
    EXPECT_EQ(setting.indices.bytes(), indices) << noise;
    EXPECT_EQ(setting.distances.bytes(), distances) << noise;
    EXPECT_EQ(setting.r_star.bytes(), r_star) << noise;
  }
}

/// What evaluating says that it expected.
std::string complaint(const EvaluateEmpiricalScore& arguments) {
  try {
    evaluate_empirical_score(cuda(), arguments);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(CudaEmpiricalScore, NamesThePointThatItCannotEvaluate) {
  Setting setting(0.3);
  setting.evaluate(true);
  std::vector<float> sigma(batch, 0.3f), alpha(batch, 0.8f), points(batch * width, 0.0f);
  sigma[3] = 0.0f;
  setting.sigma.set(sigma);
  EXPECT_EQ(complaint(setting.arguments()),
            "evaluate_empirical_score: sigma of point 3 is 0, expected a finite value above 0");
  alpha[2] = -1.0f;
  setting.alpha.set(alpha);
  EXPECT_EQ(complaint(setting.arguments()),
            "evaluate_empirical_score: alpha of point 2 is -1, expected a finite value of at least 0");
  points[width + 7] = std::numeric_limits<float>::quiet_NaN();
  setting.points.set(points);
  EXPECT_EQ(complaint(setting.arguments()),
            "evaluate_empirical_score: point 1 holds a value that is not finite, at column 7");
  Block excluded{{batch}, DType::int64};
  excluded.set(std::vector<std::int64_t>(batch, rows));
  EvaluateEmpiricalScore wanted = setting.arguments();
  wanted.excluded = excluded.array;
  EXPECT_EQ(complaint(wanted), "evaluate_empirical_score: excluded row of point 0 is 2500, expected -1 to 2499");
}

TEST(CudaEmpiricalScore, RefusesAPointWithoutData) {
  Setting setting(0.3);
  setting.evaluate(true);
  Block labels{{rows}, DType::int64}, point_labels{{batch}, DType::int64};
  labels.set(std::vector<std::int64_t>(rows, 0));
  std::vector<std::int64_t> of_points(batch, 0);
  of_points[4] = 1;
  point_labels.set(of_points);
  EvaluateEmpiricalScore wanted = setting.arguments();
  wanted.labels = labels.array;
  wanted.point_labels = point_labels.array;
  EXPECT_EQ(complaint(wanted), "evaluate_empirical_score: point 4 has no data left: no row of data has its label 1");
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
