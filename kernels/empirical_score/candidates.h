#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/empirical_score/stored_data.h"

namespace tweedie::empirical {

// Data that float32 cannot tell apart are kept until their distances are formed in double. Each comes with its h (see
// tile_kernels.h) and a bound of h's error.

struct Candidate {
  std::int64_t index = 0;
  double h = 0.0;
  double error = 0.0;
  double squared_distance = -1.0;  // exact; below 0 where not yet formed
};

/// The k data nearest to a point.
class NearestList {
 public:
  explicit NearestList(std::int64_t wanted) : wanted_(static_cast<std::size_t>(wanted)) {}
  bool wanted() const { return wanted_ > 0; }
  /// A datum whose h plus its error stays below this is not among the nearest.
  double threshold() const { return threshold_; }
  /// Takes in the largest h of a tile, so that the tile's far data need not be added.
  void narrow(double largest, double error) {
    if (wanted_ == 1 && largest - error > threshold_) threshold_ = largest - error;
  }
  void add(const Candidate& candidate, const StoredData& data, const PointFrame& frame);
  /// The nearest, nearest first, the lowest index first among equals; fewer than k where there are fewer data.
  std::vector<Candidate> finish(const StoredData& data, const PointFrame& frame);

 private:
  void prune();
  void resolve(const StoredData& data, const PointFrame& frame);
  std::size_t wanted_;
  double threshold_ = -std::numeric_limits<double>::infinity();
  std::vector<Candidate> candidates_;
};

/// The datum whose distance is closest to sigma sqrt(d).
class ShellList {
 public:
  /// Takes in a tile's closest h on either side of the target (float's lowest() and max() where there is none).
  void narrow(double below, double above, double error);
  double low() const { return below_ - 4.0 * error_; }
  double high() const { return above_ + 4.0 * error_; }
  void add(const Candidate& candidate, const StoredData& data, const PointFrame& frame);
  Candidate finish(const StoredData& data, const PointFrame& frame);

 private:
  void prune();
  void resolve(const StoredData& data, const PointFrame& frame);
  double below_ = std::numeric_limits<float>::lowest(), above_ = std::numeric_limits<float>::max();
  double error_ = 0.0;
  std::vector<Candidate> candidates_;
};

}  // namespace tweedie::empirical
