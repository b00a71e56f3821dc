#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/empirical_score/stored_data.h"
#include "kernels/runtime/buffer.h"

namespace tweedie::empirical {

/// The two matrix products between a tile of data y and a block's queries q: q . y of all pairs, and sum_i w_i y_i of
/// the queries whose weights are wanted.
class TileProducts {
 public:
  virtual ~TileProducts() = default;
  /// Reads the tile's data and multiplies all queries with them.
  virtual void take_tile(std::span<const std::int64_t> rows) = 0;
  /// The products of a query with the tile, the caller's to overwrite with weights. Calls may come from several
  /// threads, one a query.
  virtual float* row(std::int64_t query) = 0;
  /// Sums the tile with the weights, all >= 0, that stand in the rows of these queries (ascending).
  virtual void sum_tile(std::span<const std::int64_t> queries) = 0;
  /// The sum (d) of the query at `place` among those of sum_tile. Calls may come from several threads.
  virtual const float* sum(std::int64_t place) = 0;
  /// A product's error is at most this times 2^-24 |q||y|.
  virtual double error_bound() const = 0;
};

/// queries (count, d) float32 stay where they are. Bytes are multiplied as whole numbers where the processor has byte
/// dot products: four times the rate of float32 for each of a number's three digits, and without rounding.
std::unique_ptr<TileProducts> make_tile_products(Allocator& allocator, const StoredData& data, const float* queries,
                                                 std::int64_t count, std::int64_t tile_rows);

}  // namespace tweedie::empirical
