#include "kernels/empirical_score/candidates.h"

#include <algorithm>
#include <cmath>

namespace tweedie::empirical {
namespace {

constexpr std::size_t spare_candidates = 64;  // kept before the list is tidied
constexpr std::size_t most_shell_candidates = 512;

void form_distances(std::vector<Candidate>& candidates, const StoredData& data, const PointFrame& frame) {
  for (Candidate& candidate : candidates)
    if (candidate.squared_distance < 0.0) candidate.squared_distance = data.squared_distance(frame, candidate.index);
}

}  // namespace

void NearestList::add(const Candidate& candidate, const StoredData& data, const PointFrame& frame) {
  candidates_.push_back(candidate);
  if (candidates_.size() < wanted_ + spare_candidates) return;
  prune();
  if (candidates_.size() > wanted_ + spare_candidates / 2) resolve(data, frame);
}

void NearestList::prune() {
  if (candidates_.size() < wanted_) return;
  const auto kth = candidates_.begin() + static_cast<std::ptrdiff_t>(wanted_ - 1);
  std::nth_element(candidates_.begin(), kth, candidates_.end(),
                   [](const Candidate& a, const Candidate& b) { return a.h - a.error > b.h - b.error; });
  threshold_ = std::max(threshold_, kth->h - kth->error);
  std::erase_if(candidates_, [this](const Candidate& c) { return c.h + c.error < threshold_; });
}

void NearestList::resolve(const StoredData& data, const PointFrame& frame) {
  form_distances(candidates_, data, frame);
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
    return a.squared_distance != b.squared_distance ? a.squared_distance < b.squared_distance : a.index < b.index;
  });
  if (candidates_.size() > wanted_) candidates_.resize(wanted_);
}

std::vector<Candidate> NearestList::finish(const StoredData& data, const PointFrame& frame) {
  prune();
  resolve(data, frame);
  return std::move(candidates_);
}

void ShellList::narrow(double below, double above, double error) {
  below_ = std::max(below_, below);
  above_ = std::min(above_, above);
  error_ = std::max(error_, error);
}

void ShellList::add(const Candidate& candidate, const StoredData& data, const PointFrame& frame) {
  candidates_.push_back(candidate);
  if (candidates_.size() < most_shell_candidates) return;
  prune();
  if (candidates_.size() > most_shell_candidates / 2) resolve(data, frame);
}

void ShellList::prune() {
  std::erase_if(candidates_,
                [this](const Candidate& c) { return c.squared_distance < 0.0 && (c.h < low() || c.h > high()); });
}

void ShellList::resolve(const StoredData& data, const PointFrame& frame) {
  form_distances(candidates_, data, frame);
  const double shell = frame.sigma * std::sqrt(static_cast<double>(data.dimension()));
  const auto gap = [shell](const Candidate& c) { return std::abs(std::sqrt(c.squared_distance) / shell - 1.0); };
  const Candidate best = *std::min_element(
      candidates_.begin(), candidates_.end(),
      [&](const Candidate& a, const Candidate& b) { return gap(a) != gap(b) ? gap(a) < gap(b) : a.index < b.index; });
  candidates_.assign(1, best);
}

Candidate ShellList::finish(const StoredData& data, const PointFrame& frame) {
  prune();
  resolve(data, frame);
  return candidates_.front();
}

}  // namespace tweedie::empirical
