#include "kernels/empirical_score/tile_products.h"

#include <hwy/targets.h>
#include <oneapi/dnnl/dnnl.h>

#include <algorithm>
#include <cmath>

#include "kernels/empirical_score/byte_kernels.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/parallel.h"

namespace tweedie::empirical {
namespace {

void require_success(dnnl_status_t status, const char* what, std::int64_t m, std::int64_t n, std::int64_t k) {
  require(status == dnnl_success, "evaluate_empirical_score: oneDNN's {} of {} x {} x {} failed with status {}", what, m,
          n, k, static_cast<int>(status));
}

class FloatProducts final : public TileProducts {
 public:
  FloatProducts(Allocator& allocator, const StoredData& data, const float* queries, std::int64_t count,
                std::int64_t tile_rows)
      : data_(data),
        queries_(queries),
        count_(count),
        tile_(allocator, tile_rows * data.dimension()),
        products_(allocator, count * tile_rows),
        sums_(allocator, count * data.dimension()) {}

  void take_tile(std::span<const std::int64_t> rows) override {
    width_ = static_cast<std::int64_t>(rows.size());
    const std::int64_t dimension = data_.dimension();
    parallel_for(width_, 16, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) data_.tile_row(rows[i], tile_.data() + i * dimension);
    });
    multiply(true, count_, width_, dimension, queries_, products_.data());
  }
  float* row(std::int64_t query) override { return products_.data() + query * width_; }
  void sum_tile(std::span<const std::int64_t> queries) override {
    for (std::size_t place = 0; place < queries.size(); ++place)
      if (queries[place] != static_cast<std::int64_t>(place))
        std::copy_n(row(queries[place]), width_, row(static_cast<std::int64_t>(place)));
    multiply(false, static_cast<std::int64_t>(queries.size()), data_.dimension(), width_, products_.data(),
             sums_.data());
  }
  const float* sum(std::int64_t place) override { return sums_.data() + place * data_.dimension(); }
  double error_bound() const override { return static_cast<double>(data_.dimension() + 6); }

 private:
  void multiply(bool transpose_tile, std::int64_t m, std::int64_t n, std::int64_t k, const float* a, float* c) {
    require_success(dnnl_sgemm('N', transpose_tile ? 'T' : 'N', m, n, k, 1.0f, a, k, tile_.data(),
                               transpose_tile ? k : n, 0.0f, c, n),
                    "sgemm", m, n, k);
  }

  const StoredData& data_;
  const float* queries_;
  std::int64_t count_, width_ = 0;
  Buffer<float> tile_, products_, sums_;
};

/// Whole numbers throughout: data v - 128 in signed bytes, queries and weights as three unsigned digits of multiples of
/// a step of their own. The sums of products are below 2^31 for up to 65,536 terms.
class ByteProducts final : public TileProducts {
 public:
  static constexpr std::int64_t most_terms = 65536;

  ByteProducts(Allocator& allocator, const StoredData& data, const float* queries, std::int64_t count,
               std::int64_t tile_rows)
      : data_(data),
        count_(count),
        tile_(allocator, tile_rows * data.dimension()),
        query_digits_(allocator, 3 * count * data.dimension()),
        weight_digits_(allocator, 3 * count * tile_rows),
        digit_products_(allocator, 3 * count * std::max(tile_rows, data.dimension())),
        products_(allocator, count * tile_rows),
        sums_(allocator, count * data.dimension()),
        row_sums_(static_cast<std::size_t>(tile_rows)),
        scales_(static_cast<std::size_t>(count)),
        weights_(static_cast<std::size_t>(count)) {
    for (const float value : data.stored_centre()) centre_.push_back(static_cast<double>(value) - 128.0);
    parallel_for(count, 8, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t query = first; query < last; ++query)
        scales_[query] = take_query(queries + query * data_.dimension(), query);
    });
  }

  void take_tile(std::span<const std::int64_t> rows) override {
    width_ = static_cast<std::int64_t>(rows.size());
    const std::int64_t dimension = data_.dimension();
    parallel_for(width_, 16, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i)
        row_sums_[i] = static_cast<double>(
            centre_bytes_at_128(data_.bytes(rows[i]), tile_.data() + i * dimension, dimension));
    });
    multiply(true, 3 * count_, width_, dimension, query_digits_.data());
  }
  float* row(std::int64_t query) override {
    float* products = products_.data() + query * width_;
    combine_digits(digits(static_cast<const std::int32_t*>(digit_products_.data()), query, width_, count_), zero,
                   row_sums_.data(), scales_[query].step, scales_[query].offset, products, width_);
    return products;
  }
  void sum_tile(std::span<const std::int64_t> queries) override {
    active_ = static_cast<std::int64_t>(queries.size());
    parallel_for(active_, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t place = first; place < last; ++place) {
        const WholeRow weights = write_digits(products_.data() + queries[place] * width_,
                                              digits(weight_digits_.data(), place, width_, active_), width_);
        weights_[place] = {weights.step * static_cast<double>(data_.tile_scale()), weights.sum};
      }
    });
    multiply(false, 3 * active_, data_.dimension(), width_, weight_digits_.data());
  }
  const float* sum(std::int64_t place) override {
    const std::int64_t dimension = data_.dimension();
    float* sums = sums_.data() + place * dimension;
    combine_digits(digits(static_cast<const std::int32_t*>(digit_products_.data()), place, dimension, active_),
                   weights_[place].offset, centre_.data(), weights_[place].step, 0.0, sums, dimension);
    return sums;
  }
  /// The query's rounding to float32, its steps' and that of the product.
  double error_bound() const override { return std::sqrt(static_cast<double>(data_.dimension())) + 3.0; }

 private:
  static constexpr double zero = 0x1p23;  // the whole number that stands for 0 in a query
  struct Scale {
    double step = 0.0, offset = 0.0;
  };

  template <class T>
  static Digits<T> digits(T* rows, std::int64_t row, std::int64_t width, std::int64_t count) {
    T* first = rows + row * width;
    return {first, first + count * width, first + 2 * count * width};
  }

  /// Writes the query's digits; its products are step (sum - offset).
  Scale take_query(const float* query, std::int64_t row) {
    const std::int64_t dimension = data_.dimension();
    double largest = 0.0;
    for (std::int64_t j = 0; j < dimension; ++j)
      largest = std::max(largest, std::abs(static_cast<double>(query[j])));
    const double step = largest / (zero - 1.0);
    const Digits<std::uint8_t> out = digits(query_digits_.data(), row, dimension, count_);
    double centre = 0.0;  // the product with the centre
    for (std::int64_t j = 0; j < dimension; ++j) {
      const std::int64_t whole = step > 0.0 ? std::llrint(static_cast<double>(query[j]) / step) : 0;
      centre += static_cast<double>(whole) * centre_[static_cast<std::size_t>(j)];
      const std::int64_t shifted = whole + static_cast<std::int64_t>(zero);
      out.high[j] = static_cast<std::uint8_t>(shifted >> 16);
      out.middle[j] = static_cast<std::uint8_t>(shifted >> 8 & 255);
      out.low[j] = static_cast<std::uint8_t>(shifted & 255);
    }
    const double scale = step * static_cast<double>(data_.tile_scale());
    return {scale, scale * centre};
  }

  void multiply(bool transpose_tile, std::int64_t m, std::int64_t n, std::int64_t k, const std::uint8_t* a) {
    const std::int32_t no_offset = 0;
    require_success(dnnl_gemm_u8s8s32('N', transpose_tile ? 'T' : 'N', 'F', m, n, k, 1.0f, a, k, 0, tile_.data(),
                                      transpose_tile ? k : n, 0, 0.0f, digit_products_.data(), n, &no_offset),
                    "gemm_u8s8s32", m, n, k);
  }

  const StoredData& data_;
  std::int64_t count_, active_ = 0, width_ = 0;
  Buffer<std::int8_t> tile_;
  Buffer<std::uint8_t> query_digits_, weight_digits_;
  Buffer<std::int32_t> digit_products_;
  Buffer<float> products_, sums_;
  std::vector<double> row_sums_, centre_;  // of data v - 128
  std::vector<Scale> scales_, weights_;
};

/// Without these instructions oneDNN adds pairs of byte products in 16 bits, which saturate.
bool has_byte_products() {
  constexpr int vnni = dnnl_cpu_isa_avx512_core_vnni;
  return (hwy::SupportedTargets() & HWY_AVX3_DL) != 0 &&
         (static_cast<int>(dnnl_get_effective_cpu_isa()) & vnni) == vnni;
}

}  // namespace

std::unique_ptr<TileProducts> make_tile_products(Allocator& allocator, const StoredData& data, const float* queries,
                                                 std::int64_t count, std::int64_t tile_rows) {
  if (data.are_bytes() && std::max(data.dimension(), tile_rows) <= ByteProducts::most_terms && has_byte_products())
    return std::make_unique<ByteProducts>(allocator, data, queries, count, tile_rows);
  return std::make_unique<FloatProducts>(allocator, data, queries, count, tile_rows);
}

}  // namespace tweedie::empirical
