#include "diffusion/trajectory_states.h"

#include <algorithm>
#include <numeric>

#include "diffusion/network_score.h"
#include "diffusion/samplers.h"

namespace tweedie {

TrajectoryStates::TrajectoryStates(ScoreModel& model, const Shape& image, const TrajectoryOptions& options)
    : process_(model.process()),
      image_(image),
      device_(model.device()),
      count_(options.count),
      labels_(options.labels) {
  if (options.count < 1 || options.steps < 1)
    throw UsageError(
        fmt::format("trajectories: {} of {} steps, expected one or more of each", options.count, options.steps));
  require(labels_.empty() || static_cast<std::int64_t>(labels_.size()) == count_,
          "trajectories: {} labels for {} trajectories", labels_.size(), count_);
  std::vector<std::int64_t> streams(static_cast<std::size_t>(count_));
  std::iota(streams.begin(), streams.end(), 0);
  const auto* network = dynamic_cast<const NetworkScore*>(&model);
  const double from = network != nullptr ? sampling_start(process_, network->parameterisation()) : process_.t_max();
  const bool edm = process_.name() == "edm";
  times_ = time_grid(process_, edm ? TimeGrid::edm : TimeGrid::uniform, options.steps, from, process_.t_min());
  const auto d = static_cast<std::size_t>(image.count());
  states_.assign(times_.size(), std::vector<float>(static_cast<std::size_t>(count_) * d));
  SamplerOptions sampler;
  sampler.times = times_;
  sampler.denoise = false;
  sampler.batch = std::min<std::int64_t>(count_, 64);
  sampler.on_step = [&](const SamplerStep& step) {
    const std::vector<float> z = step.z.to_host();
    for (std::size_t row = 0; row < step.samples.size(); ++row)
      std::copy_n(z.begin() + static_cast<std::ptrdiff_t>(row * d), d,
                  states_[static_cast<std::size_t>(step.step)].begin() +
                      static_cast<std::ptrdiff_t>(static_cast<std::size_t>(step.samples[row]) * d));
  };
  const Tensor labels =
      labels_.empty() ? Tensor() : Tensor::from_host(std::span<const std::int64_t>(labels_), {count_}, model.device());
  const SamplerState start = start_from_noise(process_, image, streams, options.seed, model.device(), labels, from);
  heun(model, start, sampler);
}

std::string TrajectoryStates::describe() const {
  return fmt::format("states of {} sampler trajectories of {} steps on the {} process", count_, times_.size() - 1,
                     process_.name());
}

Draw TrajectoryStates::draw(const DrawRequest& request) const {
  const RandomKey choice{request.seed, request.held_out ? Purpose::held_out_noise : Purpose::choose_sample,
                         request.step};
  const auto n = static_cast<std::int64_t>(request.t.size());
  const auto d = static_cast<std::size_t>(image_.count());
  Draw draw;
  draw.t_told = draw.t_state = request.t;
  std::vector<std::int64_t> samples, labels;
  std::vector<float> z(request.t.size() * d);
  for (std::size_t i = 0; i < request.t.size(); ++i) {
    const std::int64_t sample = request.first + static_cast<std::int64_t>(i);
    samples.push_back(sample);
    const std::int64_t which = uniform_integer(choice, static_cast<std::uint32_t>(sample), count_, 1u << 30);
    if (!labels_.empty()) labels.push_back(labels_[static_cast<std::size_t>(which)]);
    // times_[after] <= t: the kept states around t; beyond the ends, the end.
    const auto below = std::find_if(times_.begin(), times_.end(), [&](double time) { return time <= request.t[i]; });
    const auto after = std::min<std::size_t>(static_cast<std::size_t>(below - times_.begin()), times_.size() - 1);
    const std::size_t before = after > 0 ? after - 1 : 0;
    const double gap = times_[before] - times_[after];
    const double share = gap > 0.0 ? std::clamp((times_[before] - request.t[i]) / gap, 0.0, 1.0) : 0.0;
    const std::size_t at = static_cast<std::size_t>(which) * d;
    for (std::size_t j = 0; j < d; ++j)
      z[i * d + j] = static_cast<float>((1.0 - share) * states_[before][at + j] + share * states_[after][at + j]);
  }
  draw.z = Tensor::from_host(std::span<const float>(z), {n, image_[0], image_[1], image_[2]}, device_);
  draw.samples = Tensor::from_host(std::span<const std::int64_t>(samples), {n}, device_);
  if (!labels.empty()) draw.labels = Tensor::from_host(std::span<const std::int64_t>(labels), {n}, device_);
  return draw;
}

}  // namespace tweedie
