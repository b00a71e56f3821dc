#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/empirical_score/stored_data.h"
#include "kernels/runtime/buffer.h"

namespace tweedie::empirical {

/// What the rounding of queries and products does to q . y.
struct ProductError {
  double bound;        // at most this times 2^-24 |q||y|
  double independent;  // root mean square, as drawn anew for every datum, over 2^-24 |q||y|
  double coherent;     // root mean square over |y|, of an error that is itself a product with one small vector
  bool exact_sums;     // weighted sums add no more rounding than that of each weight and of the tile's sum
};

/// The two matrix products between a tile of data y and a block's queries q: of all pairs, and sum_i w_i y_i of the
/// queries whose weights are wanted.
class TileProducts {
 public:
  TileProducts(Allocator& allocator, const StoredData& data, std::int64_t count, std::int64_t tile_rows)
      : data_(data), count_(count), rows_(allocator, count * tile_rows), sums_(allocator, count * data.dimension()) {}
  virtual ~TileProducts() = default;
  TileProducts(const TileProducts&) = delete;
  TileProducts& operator=(const TileProducts&) = delete;

  /// Reads the tile's data and multiplies all queries with them.
  void take_tile(std::span<const std::int64_t> rows);
  std::int64_t width() const { return width_; }                         // data of the tile
  const float* squared_norms() const { return squared_norms_.data(); }  // |y|^2
  double largest_norm() const { return largest_norm_; }

  /// Writes q . y - half_alpha |y|^2 - offset to row(query). Calls may come from several threads, one a query.
  virtual void form_row(std::int64_t query, double half_alpha, float offset) = 0;
  float* row(std::int64_t query) { return rows_.data() + query * width_; }

  /// Sums the tile with the weights, all >= 0, that stand in the rows of these queries (ascending). Rows are lost.
  virtual void sum_tile(std::span<const std::int64_t> queries) = 0;
  /// The sum (d) of the query at `place` among those of sum_tile. Calls may come from several threads.
  virtual const float* sum(std::int64_t place) = 0;

  virtual ProductError error(std::int64_t query) const = 0;

 protected:
  virtual void multiply(std::span<const std::int64_t> rows) = 0;

  const StoredData& data_;
  std::int64_t count_, width_ = 0;
  std::vector<double> exact_squared_norms_;
  std::vector<float> squared_norms_;
  double largest_norm_ = 0.0;
  Buffer<float> rows_, sums_;
};

/// queries (count, d) float32 stay where they are. Bytes are multiplied as whole numbers where the processor has byte
/// dot products: four times the rate of float32 for each of a number's three digits, and without rounding.
std::unique_ptr<TileProducts> make_tile_products(Allocator& allocator, const StoredData& data, const float* queries,
                                                 std::int64_t count, std::int64_t tile_rows);

}  // namespace tweedie::empirical
