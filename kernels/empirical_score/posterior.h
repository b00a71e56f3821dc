#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/empirical_score/candidates.h"
#include "kernels/empirical_score/tile_kernels.h"
#include "kernels/empirical_score/tile_products.h"

namespace tweedie::empirical {

/// Weights, their mean and spread: sum w, sum w v / sum w, sum w |v - mean|^2 and sum w log w, for weights relative to
/// exp(log_scale); v in stored units.
struct WeightedMoments {
  double log_scale = 0.0;
  double weight = 0.0;
  double spread = 0.0;
  double log_weight = 0.0;
  std::vector<double> mean;

  void rescale(double new_log_scale);
  /// Adds those of other data (Chan, Golub and LeVeque 1979): all terms are positive, so nothing cancels.
  void merge(WeightedMoments other);
};

enum class Precision : std::uint8_t { mixed, exact };

/// What is gathered.
struct Wanted {
  bool posterior = true;
  bool shell = true;
  std::int64_t neighbours = 1;
};

struct PosteriorSummary {
  bool accurate = true;    // else: repeat with Precision::exact
  std::vector<double> x0;  // data units
  double entropy = 0.0, covariance_trace = 0.0, log_sum = 0.0;
};

/// Memory of one thread, reused between rows.
struct RowScratch {
  explicit RowScratch(std::int64_t tile_rows) : weights(tile_rows), positions(tile_rows) {}
  std::vector<float> weights;
  std::vector<std::int32_t> positions;
};

/// The posterior over the data of one point, gathered tile by tile.
///
/// Log weights are h alpha / sigma^2 and inherit the errors of the products q . y behind h (ProductError). So
///  - data whose weight is within `margin` of the largest, less twice the errors' bound, are kept as candidates, and
///    their weights, mean and spread formed in double from differences. At small sigma that is all;
///  - where a tile has many of them, and the error is small enough, they are summed as one row of a matrix product
///    ("dense"), except those that hold more than a fraction `largest_dense_share` of the dense weight: independent
///    errors of single weights reach the mean of the rest only as error * sqrt(share); a coherent error moves the mean
///    as a small change of the point would;
///  - rows are formed less an offset near the largest h, so that the heavy weights lose nothing in float32;
///  - the summary estimates what float32 did to the score and to tr C. Where that is too much (a score that is a small
///    difference, a posterior much narrower than its distance from the centre) the pass is repeated with nothing dense.
class Posterior {
 public:
  Posterior(const StoredData& data, PointFrame frame, std::int64_t data_count, const Wanted& wanted,
            std::int64_t excluded, const ProductError& error, Precision precision);

  const PointFrame& frame() const { return frame_; }
  /// Takes the row of a query: this point (flipped: its flipped image, and so the tile's flipped images). Where it must
  /// be summed densely, the row is left holding weights relative to exp of the log scale returned.
  std::optional<double> take_row(TileProducts& products, std::span<const std::int64_t> rows, std::int64_t query,
                                 bool flipped, RowScratch& scratch);
  /// Adds sum_i weights_i y_i, as a matrix product formed it, of a row for which take_row returned `log_scale`.
  void take_dense_mean(const float* sum, bool flipped, double log_scale);

  PosteriorSummary summary();
  std::vector<Candidate> nearest() { return nearest_.finish(data_, frame_); }
  Candidate shell() { return shell_.finish(data_, frame_); }

 private:
  RowRange form_row(TileProducts& products, std::int64_t query, std::int64_t excluded_position);
  void prune();
  void fold();
  void rescale_dense(double reference);
  WeightedMoments dense_moments() const;
  double exact_log_weight(double squared_distance) const;

  const StoredData& data_;
  PointFrame frame_;
  std::int64_t excluded_;
  double rate_;                 // log weight = rate h + constant
  double shell_target_ = 0.0;   // h of the shell
  double log_margin_, margin_;  // of log weights and of h
  double largest_dense_share_;  // 0: nothing is summed densely
  double error_bound_;          // of products, over |y|
  double mean_error_;           // of dense weights, relative: as it reaches the mean,
  double coherent_error_;       // and as a product with y
  bool exact_sums_;
  bool wants_shell_, wants_posterior_;
  NearestList nearest_;
  ShellList shell_;

  float offset_ = 0.0f;                                     // of rows: h is offset_ + the value there
  double best_ = -std::numeric_limits<double>::infinity();  // a lower bound of the largest h
  std::vector<Candidate> kept_;
  WeightedMoments exact_;

  double reference_ = -std::numeric_limits<double>::infinity();  // the h whose dense weight is 1
  double dense_weight_ = 0.0, dense_log_weight_ = 0.0, dense_squared_norm_ = 0.0;
  double dense_mean_log_scale_ = 0.0;
  std::vector<double> dense_sum_, dense_flipped_sum_;  // of w y, tile units
};

}  // namespace tweedie::empirical
