#include "kernels/empirical_score/posterior.h"

#include <algorithm>
#include <cmath>

namespace tweedie::empirical {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr float lowest = std::numeric_limits<float>::lowest(), highest = std::numeric_limits<float>::max();
constexpr double weight_tolerance = 3e-6;  // what the weights' errors may do to the mean, relative to its spread
constexpr double most_coherent_error = 3e-5;
constexpr double smallest_dense_share = 1e-4, most_dense_share = 1.0 / 16.0;
// A dense mean that comes from float32 sums has an error, relative to the root mean square of |y|, measured below 1e-7.
// Exact sums leave one like that of the mean itself, and of the largest weight's part of the spread.
constexpr double float_sum_error = 3e-7, exact_sum_error = 1e-7;
constexpr std::int64_t dense_row_gain = 24;  // as a row of the matrix product, data cost this much less
constexpr double most_log_weight = 8.0;      // in a row, over the offset
constexpr std::int64_t few_data = 64;
constexpr std::size_t most_kept = 1024;

double squared_norm(const std::vector<double>& v) {
  double sum = 0.0;
  for (double value : v) sum += value * value;
  return sum;
}

float to_float(double value) {
  constexpr double most = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(value, -most, most));
}

}  // namespace

void WeightedMoments::rescale(double new_log_scale) {
  const double change = log_scale - new_log_scale;
  const double factor = weight > 0.0 ? std::exp(change) : 0.0;
  log_weight = factor * (log_weight + weight * change);
  if (weight == 0.0) log_weight = 0.0;
  weight *= factor;
  spread *= factor;
  log_scale = new_log_scale;
}

void WeightedMoments::merge(WeightedMoments other) {
  if (other.weight == 0.0) return;
  if (weight == 0.0) {
    *this = std::move(other);
    return;
  }
  const double scale = std::max(log_scale, other.log_scale);
  rescale(scale);
  other.rescale(scale);
  const double total = weight + other.weight;
  double distance = 0.0;
  for (std::size_t j = 0; j < mean.size(); ++j) {
    const double difference = other.mean[j] - mean[j];
    distance += difference * difference;
    mean[j] += difference * (other.weight / total);
  }
  spread += other.spread + distance * (weight * other.weight / total);
  log_weight += other.log_weight;
  weight = total;
}

Posterior::Posterior(const StoredData& data, PointFrame frame, std::int64_t data_count, const Wanted& wanted,
                     std::int64_t excluded, const ProductError& error, Precision precision)
    : data_(data),
      frame_(std::move(frame)),
      excluded_(excluded),
      wants_shell_(wanted.shell && frame_.alpha > 0.0),
      wants_posterior_(wanted.posterior),
      nearest_(frame_.alpha > 0.0 ? wanted.neighbours : 0) {
  const double dimension = static_cast<double>(data.dimension());
  const double sigma = frame_.sigma / data.tile_unit();  // in tile units, where every |y| <= 1
  rate_ = frame_.alpha / (sigma * sigma);
  if (frame_.alpha > 0.0)
    shell_target_ = (frame_.tile_norm * frame_.tile_norm - sigma * sigma * dimension) / (2.0 * frame_.alpha);
  // The weight left out, times the largest squared distance, stays below 1e-10 sigma^2: in tr C that is 1e-10/sigma^2.
  const double spread = 4.0 * std::max(1.0, 1.0 / (sigma * sigma));
  log_margin_ = std::log(static_cast<double>(data_count)) + std::log(1e10 * spread);
  margin_ = log_margin_ / rate_;  // infinite at alpha = 0
  error_bound_ = unit_roundoff * error.bound * frame_.tile_norm;
  const double independent = unit_roundoff * error.independent * frame_.tile_norm * rate_;
  const double share =
      independent > 0.0 ? std::min(most_dense_share, std::pow(weight_tolerance / independent, 2.0)) : most_dense_share;
  mean_error_ = independent * std::sqrt(share);
  coherent_error_ = error.coherent * rate_;
  exact_sums_ = error.exact_sums;
  // Below this sigma the score would need more of x0 than float32 sums of |y| <= 1 hold.
  const bool mean_is_good = sigma * std::sqrt(dimension) >= 0.25 * frame_.alpha;
  const bool dense = precision == Precision::mixed && data_count > few_data && mean_is_good &&
                     share >= smallest_dense_share && coherent_error_ <= most_coherent_error;
  largest_dense_share_ = dense ? share : 0.0;
}

RowRange Posterior::form_row(TileProducts& products, std::int64_t query, std::int64_t excluded_position) {
  products.form_row(query, frame_.alpha / 2.0, offset_);
  float* row = products.row(query);
  if (excluded_position >= 0) row[excluded_position] = lowest;
  return range_of_row(row, to_float(shell_target_ - static_cast<double>(offset_)), products.width());
}

std::optional<double> Posterior::take_row(TileProducts& products, std::span<const std::int64_t> rows,
                                          std::int64_t query, bool flipped, RowScratch& scratch) {
  const std::int64_t count = products.width();
  const auto found = excluded_ < 0 ? rows.end() : std::lower_bound(rows.begin(), rows.end(), excluded_);
  const bool excludes = found != rows.end() && *found == excluded_;
  const std::int64_t excluded_position = excludes ? found - rows.begin() : -1;
  float* row = products.row(query);
  RowRange range = form_row(products, query, excluded_position);
  if (range.largest == lowest) return std::nullopt;  // the only datum is left out
  const bool first = best_ == -std::numeric_limits<double>::infinity();
  if (largest_dense_share_ > 0.0 &&
      rate_ * static_cast<double>(first ? std::abs(range.largest) : range.largest) > most_log_weight) {
    offset_ += range.largest;
    range = form_row(products, query, excluded_position);
  }
  const double offset = static_cast<double>(offset_), largest = offset + static_cast<double>(range.largest);
  const double norm = products.largest_norm();
  const double error = error_bound_ * norm + unit_roundoff * 2.0 * frame_.alpha * norm * norm;
  /// Calls take(candidate) for the row's values from `low` to `high`, both less the offset; returns how many.
  const auto for_each_within = [&](float low, float high, auto&& take) {
    const std::int64_t near = positions_within(row, low, high, count, scratch.positions.data());
    for (std::int64_t i = 0; i < near; ++i) {
      const std::int32_t position = scratch.positions[i];
      if (position != excluded_position)
        take(Candidate{rows[position] + (flipped ? data_.rows() : 0), offset + static_cast<double>(row[position]),
                       error});
    }
  };

  if (nearest_.wanted()) {
    nearest_.narrow(largest, error);
    if (largest + error >= nearest_.threshold())
      for_each_within(to_float(nearest_.threshold() - error - offset), highest,
                      [&](const Candidate& candidate) { nearest_.add(candidate, data_, frame_); });
  }
  if (wants_shell_) {
    const auto absolute = [&](float h) { return static_cast<double>(h) + (std::abs(h) < highest ? offset : 0.0); };
    const double target = std::min(std::abs(shell_target_), frame_.tile_norm * norm + frame_.alpha * norm * norm);
    shell_.narrow(absolute(range.below), absolute(range.above), error + 2.0 * unit_roundoff * target);
    for_each_within(to_float(shell_.low() - offset), to_float(shell_.high() - offset),
                    [&](const Candidate& candidate) { shell_.add(candidate, data_, frame_); });
  }

  if (!wants_posterior_) return std::nullopt;
  best_ = std::max(best_, largest - error);
  const float low = to_float(best_ - margin_ - error - offset);
  if (range.largest < low) return std::nullopt;
  const auto keep = [&](const Candidate& candidate) { kept_.push_back(candidate); };
  const bool dense = largest_dense_share_ > 0.0 && count_within(row, low, highest, count) * dense_row_gain > count;
  if (!dense) {
    for_each_within(low, highest, keep);
    if (kept_.size() > most_kept) prune();
    return std::nullopt;
  }

  if (largest > reference_) rescale_dense(largest);
  const float rate = to_float(rate_), reference = to_float(reference_ - offset);
  if (excludes) row[excluded_position] = reference;
  float* weights = scratch.weights.data();
  const float sum = weights_of_row(row, reference, rate, weights, count);
  if (excludes) weights[excluded_position] = 0.0f;
  // No datum may hold more than its share of what is summed densely; two rounds come close enough to a fixed point.
  float limit = to_float(largest_dense_share_ * (dense_weight_ + static_cast<double>(sum)));
  limit = to_float(largest_dense_share_ * (dense_weight_ + static_cast<double>(sum_up_to(weights, limit, count))));
  const std::int64_t heavy =
      positions_within(weights, std::nextafter(limit, 2.0f * limit + 1.0f), highest, count, scratch.positions.data());
  for (std::int64_t i = 0; i < heavy; ++i) {
    const std::int32_t position = scratch.positions[i];
    keep({rows[position] + (flipped ? data_.rows() : 0), offset + static_cast<double>(row[position]), error});
  }
  if (kept_.size() > most_kept) prune();
  const RowMoments moments = take_weights(weights, limit, row, reference, rate, products.squared_norms(), count);
  dense_weight_ += moments.weight;
  dense_log_weight_ += moments.log_weight;
  dense_squared_norm_ += moments.squared_norm;
  return reference_ * rate_;
}

void Posterior::prune() {
  std::erase_if(kept_, [this](const Candidate& c) { return c.h + c.error < best_ - margin_; });
  if (kept_.size() > most_kept / 2) fold();
}

double Posterior::exact_log_weight(double squared_distance) const {
  return frame_.alpha == 0.0 ? 0.0 : (frame_.centre_distance2 - squared_distance) / (2.0 * frame_.sigma * frame_.sigma);
}

/// Forms the kept data's weights, mean and spread in double and adds them to the exact moments.
void Posterior::fold() {
  if (kept_.empty()) return;
  const std::size_t dimension = static_cast<std::size_t>(data_.dimension());
  std::vector<double> log_weights;
  for (const Candidate& candidate : kept_)
    log_weights.push_back(exact_log_weight(data_.squared_distance(frame_, candidate.index)));
  const std::size_t top =
      static_cast<std::size_t>(std::max_element(log_weights.begin(), log_weights.end()) - log_weights.begin());
  WeightedMoments batch;
  batch.log_scale = log_weights[top];
  batch.mean.resize(dimension);
  // Differences from the heaviest datum: what is small then stays exact.
  data_.load(kept_[top].index, batch.mean.data());
  std::vector<double> flipped_reference, moment(dimension), flipped_moment;
  if (data_.copies() == 2) {
    flipped_moment.resize(dimension);
    for (std::int32_t column : data_.permutation()) flipped_reference.push_back(batch.mean[column]);
  }
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    const double log_weight = log_weights[i] - batch.log_scale;
    if (log_weight < -log_margin_) continue;
    const double weight = std::exp(log_weight);
    const bool flipped = data_.is_flipped(kept_[i].index);
    const double distance = data_.add_difference(kept_[i].index, flipped ? flipped_reference.data() : batch.mean.data(),
                                                 weight, flipped ? flipped_moment.data() : moment.data());
    batch.weight += weight;
    batch.log_weight += weight * log_weight;
    batch.spread += weight * distance;
  }
  for (std::size_t j = 0; j < flipped_moment.size(); ++j) moment[data_.permutation()[j]] += flipped_moment[j];
  for (double& value : moment) value /= batch.weight;
  batch.spread = std::max(0.0, batch.spread - batch.weight * squared_norm(moment));
  for (std::size_t j = 0; j < dimension; ++j) batch.mean[j] += moment[j];
  exact_.merge(std::move(batch));
  kept_.clear();
}

void Posterior::rescale_dense(double reference) {
  if (dense_weight_ > 0.0) {
    const double change = rate_ * (reference_ - reference);
    const double factor = std::exp(change);
    dense_log_weight_ = factor * (dense_log_weight_ + dense_weight_ * change);
    dense_weight_ *= factor;
    dense_squared_norm_ *= factor;
  }
  reference_ = reference;
}

void Posterior::take_dense_mean(const float* sum, bool flipped, double log_scale) {
  const std::int64_t dimension = data_.dimension();
  const double now = reference_ * rate_;
  if (dense_sum_.empty()) {
    dense_sum_.resize(static_cast<std::size_t>(dimension));
    if (data_.copies() == 2) dense_flipped_sum_.resize(static_cast<std::size_t>(dimension));
    dense_mean_log_scale_ = now;
  }
  const double factor = std::exp(dense_mean_log_scale_ - now);
  if (factor != 1.0 && data_.copies() == 2)
    for (double& value : flipped ? dense_sum_ : dense_flipped_sum_) value *= factor;
  scale_and_add((flipped ? dense_flipped_sum_ : dense_sum_).data(), factor, sum, std::exp(log_scale - now), dimension);
  dense_mean_log_scale_ = now;
}

WeightedMoments Posterior::dense_moments() const {
  WeightedMoments dense;
  if (dense_weight_ == 0.0) return dense;
  const double factor = std::exp(dense_mean_log_scale_ - reference_ * rate_);
  const double length = data_.tile_unit() / data_.unit();  // of a tile unit, in stored units
  dense.log_scale = reference_ * rate_;
  dense.weight = dense_weight_;
  dense.log_weight = dense_log_weight_;
  dense.mean.assign(dense_sum_.begin(), dense_sum_.end());
  for (std::size_t j = 0; j < dense_flipped_sum_.size(); ++j)
    dense.mean[data_.permutation()[j]] += dense_flipped_sum_[j];
  for (double& value : dense.mean) value *= factor / dense_weight_;
  dense.spread = std::max(0.0, dense_squared_norm_ - dense_weight_ * squared_norm(dense.mean)) * length * length;
  for (std::size_t j = 0; j < dense.mean.size(); ++j)
    dense.mean[j] = static_cast<double>(data_.stored_centre()[j]) + length * dense.mean[j];
  return dense;
}

PosteriorSummary Posterior::summary() {
  std::erase_if(kept_, [this](const Candidate& c) { return c.h + c.error < best_ - margin_; });
  fold();
  const WeightedMoments dense = dense_moments();
  exact_.merge(dense);
  PosteriorSummary summary;
  const double variance2 = frame_.sigma * frame_.sigma;
  summary.entropy = std::max(0.0, std::log(exact_.weight) - exact_.log_weight / exact_.weight);
  summary.log_sum = exact_.log_scale + std::log(exact_.weight) - frame_.centre_distance2 / (2.0 * variance2);
  const double to_trace = frame_.alpha * frame_.alpha / (variance2 * variance2) * data_.unit() * data_.unit();
  summary.covariance_trace = to_trace * exact_.spread / exact_.weight;
  summary.x0 = std::move(exact_.mean);
  for (double& value : summary.x0) value = data_.offset() + data_.unit() * value;

  if (dense.weight > 0.0) {
    const double share = dense.weight / exact_.weight * std::exp(dense.log_scale - exact_.log_scale);
    double offset = 0.0, residual = 0.0;  // squared: of the dense mean from the centre, of alpha x0 from z
    for (std::size_t j = 0; j < dense.mean.size(); ++j) {
      offset += std::pow(dense.mean[j] - static_cast<double>(data_.stored_centre()[j]), 2.0);
      residual += std::pow(frame_.alpha * summary.x0[j] - frame_.point[j], 2.0);
    }
    const double spread = dense.spread / dense.weight;
    const double length2 = offset + spread;  // of v from the centre, mean square
    // The reference's weight is 1, so that no share of the dense weight is above 1 / dense_weight_.
    const double sum_error = exact_sums_ ? exact_sum_error * std::sqrt(offset + spread / std::max(1.0, dense_weight_))
                                         : float_sum_error * std::sqrt(length2);
    const double coherent_error = coherent_error_ * length2 * data_.unit() / data_.tile_unit();
    const double mean_error = share * data_.unit() * (sum_error + coherent_error + mean_error_ * std::sqrt(spread));
    const double trace_error = to_trace * share * 2.0 * float_sum_error * length2;
    summary.accurate = frame_.alpha * mean_error <= 1e-5 * std::sqrt(residual) &&
                       mean_error <= 1e-5 * std::sqrt(squared_norm(summary.x0)) &&
                       trace_error <= std::max(3e-4 * summary.covariance_trace, 3e-10 / variance2);
  }
  return summary;
}

}  // namespace tweedie::empirical
