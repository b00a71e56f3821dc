#include "diffusion/likelihood.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "autograd/gradients_to.h"
#include "diffusion/dormand_prince.h"
#include "diffusion/per_sample.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

using Values = std::vector<double>;

/// The right-hand side of d(z, a)/dt = (v, div v) for all samples, each at its own time. A state is (N, d + 1) numbers,
/// its last column a.
class FlowWithDivergence {
 public:
  FlowWithDivergence(ScoreModel& model, const Tensor& x, const Tensor& labels, const LikelihoodOptions& options)
      : model_(model), shape_(x.shape()), options_(options) {
    count_ = static_cast<std::size_t>(x.size(0));
    d_ = static_cast<std::size_t>(x.shape().count_between(1, x.rank()));
    if (labels.defined()) labels_ = labels.to_host_integers();
    const std::size_t probes = options.probes == 0 ? d_ : static_cast<std::size_t>(options.probes);
    probes_ = probes;
  }

  std::size_t count() const { return count_; }
  std::size_t dimension() const { return d_; }

  Values operator()(const Values& state, const Values& t) const {
    Values rates(state.size());
    const auto rows_at_once = static_cast<std::size_t>(options_.batch);
    for (std::size_t first = 0; first < count_; first += rows_at_once)
      if (!closed_form(state, t, first, std::min(rows_at_once, count_ - first), rates)) {
        differentiate(state, t, rates);
        break;
      }
    return rates;
  }

 private:
  /// The states of some rows; row r is that of sample of(r).
  template <class Of>
  Tensor states(const Values& state, std::size_t rows, const Of& of) const {
    Values points;
    points.reserve(rows * d_);
    for (std::size_t row = 0; row < rows; ++row) {
      const auto begin = state.begin() + static_cast<std::ptrdiff_t>(of(row) * (d_ + 1));
      points.insert(points.end(), begin, begin + static_cast<std::ptrdiff_t>(d_));
    }
    Shape shape = shape_;
    shape[0] = static_cast<std::int64_t>(rows);
    return Tensor::from_host(std::span<const double>(points), shape, model_.device());
  }

  template <class Of>
  Tensor labels(std::size_t rows, const Of& of) const {
    if (labels_.empty()) return {};
    std::vector<std::int64_t> chosen;
    for (std::size_t row = 0; row < rows; ++row) chosen.push_back(labels_[of(row)]);
    return Tensor::from_host(std::span<const std::int64_t>(chosen), {static_cast<std::int64_t>(rows)}, model_.device());
  }

  bool closed_form(const Values& state, const Values& t, std::size_t first, std::size_t rows, Values& rates) const {
    const NoGrad guard;
    const auto of = [first](std::size_t row) { return first + row; };
    const Tensor z = states(state, rows, of), classes = labels(rows, of);
    const std::span<const double> levels = std::span(t).subspan(first, rows);
    const auto divergence = model_.denoiser_divergence(z, levels, classes);
    if (!divergence) return false;
    const Values v = model_.predict(z, levels, View::v, classes).to_host_double();
    for (std::size_t row = 0; row < rows; ++row) {
      const ViewConversion c = from_posterior_mean(model_.process(), levels[row], View::v);
      double* out = &rates[of(row) * (d_ + 1)];
      std::copy_n(&v[row * d_], d_, out);
      out[d_] = c.p * (*divergence)[row] + c.q * static_cast<double>(d_);
    }
    return true;
  }

  double probe(std::size_t sample, std::size_t probe, std::size_t i) const {
    if (options_.probes == 0) return i == probe ? 1.0 : 0.0;
    const RandomKey key{options_.seed, Purpose::hutchinson, static_cast<std::uint32_t>(probe)};
    const auto stream = static_cast<std::uint32_t>(options_.first_sample + static_cast<std::int64_t>(sample));
    return uniform(key, stream, static_cast<std::uint32_t>(i)) < 0.5 ? -1.0 : 1.0;
  }

  /// Every sample passes the model once for each probe e, and e . (J' e) = e . J e is gathered.
  void differentiate(const Values& state, const Values& t, Values& rates) const {
    const std::size_t all = count_ * probes_;
    const double share = options_.probes == 0 ? 1.0 : 1.0 / static_cast<double>(probes_);
    for (std::size_t first = 0; first < all; first += static_cast<std::size_t>(options_.batch)) {
      const std::size_t rows = std::min(static_cast<std::size_t>(options_.batch), all - first);
      const auto of = [&](std::size_t row) { return (first + row) / probes_; };
      Tensor z = states(state, rows, of);
      z.set_requires_grad(true);
      const GradientsTo guard(z);
      Values levels, signs;
      for (std::size_t row = 0; row < rows; ++row) {
        levels.push_back(t[of(row)]);
        for (std::size_t i = 0; i < d_; ++i) signs.push_back(probe(of(row), (first + row) % probes_, i));
      }
      const Tensor v = model_.predict(z, levels, View::v, labels(rows, of));
      v.backward(Tensor::from_host(std::span<const double>(signs), z.shape(), z.device()));
      const Values velocity = v.detach().to_host_double(), pulled = z.grad().to_host_double();
      for (std::size_t row = 0; row < rows; ++row) {
        double* out = &rates[of(row) * (d_ + 1)];
        std::copy_n(&velocity[row * d_], d_, out);
        for (std::size_t i = row * d_; i < (row + 1) * d_; ++i) out[d_] += share * signs[i] * pulled[i];
      }
    }
  }

  ScoreModel& model_;
  Shape shape_;
  const LikelihoodOptions& options_;
  std::size_t count_ = 0, d_ = 0, probes_ = 1;
  std::vector<std::int64_t> labels_;
};

/// state + sum_j h weights[j] slopes[j], h one step length a sample.
Values advanced(const Values& state, const Values& h, std::span<const double> weights, std::span<const Values> slopes) {
  Values out = state;
  const std::size_t width = state.size() / h.size();
  for (std::size_t j = 0; j < slopes.size(); ++j)
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += h[i / width] * weights[j] * slopes[j][i];
  return out;
}

void runge_kutta(const FlowWithDivergence& flow, const LikelihoodOptions& options, std::span<const double> times,
                 Values& state) {
  for (std::size_t k = 0; k + 1 < times.size(); ++k) {
    const Values h(flow.count(), times[k + 1] - times[k]);
    const auto at = [&](double t) { return Values(flow.count(), t); };
    const double middle = times[k] + 0.5 * h[0];
    std::vector<Values> slopes{flow(state, at(times[k]))};
    constexpr double half[] = {0.5}, last_half[] = {0.0, 0.5}, whole[] = {0.0, 0.0, 1.0};
    slopes.push_back(flow(advanced(state, h, half, slopes), at(middle)));
    slopes.push_back(flow(advanced(state, h, last_half, slopes), at(middle)));
    slopes.push_back(flow(advanced(state, h, whole, slopes), at(times[k + 1])));
    constexpr double weights[] = {1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6};
    state = advanced(state, h, weights, slopes);
    if (options.on_step) options.on_step();
  }
}

void dormand_prince_steps(const FlowWithDivergence& flow, const LikelihoodOptions& options, double from, double to,
                          Values& state) {
  using namespace dormand_prince;
  const std::size_t n = flow.count(), d = flow.dimension();
  Values t(n, from), length(n, (to - from) / 100.0), slope = flow(state, t);
  for (std::int64_t step = 0; std::ranges::any_of(t, [&](double now) { return now < to; }); ++step) {
    require(step < options.most_steps,
            "likelihood: t = {} not reached within {} steps: loosen the tolerances or start at a larger t", to,
            options.most_steps);
    Values h(n), after(n);
    for (std::size_t i = 0; i < n; ++i) {
      after[i] = std::min(to, t[i] + length[i]);
      h[i] = after[i] - t[i];
    }
    std::vector<Values> slopes{slope};
    Values next;
    for (int stage = 1; stage < stages; ++stage) {
      next = advanced(state, h, tableau[stage], slopes);
      Values times(n);
      for (std::size_t i = 0; i < n; ++i) times[i] = nodes[stage] == 1.0 ? after[i] : t[i] + nodes[stage] * h[i];
      slopes.push_back(flow(next, times));
    }
    const Values errors = advanced(Values(state.size()), h, error_weights, slopes);
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t begin = i * (d + 1), end = begin + d;
      double error = 0.0, before = 0.0, now = 0.0;
      for (std::size_t j = begin; j < end; ++j) {
        error += errors[j] * errors[j] / static_cast<double>(d);
        before += state[j] * state[j] / static_cast<double>(d);
        now += next[j] * next[j] / static_cast<double>(d);
      }
      require(std::isfinite(error) && std::isfinite(now) && std::isfinite(next[end]),
              "likelihood: a state is not finite near t = {}", after[i]);
      const auto tolerance = [&](double size) {
        return options.absolute_tolerance + options.relative_tolerance * size;
      };
      const double of_density = std::max(std::abs(state[end]), std::abs(next[end])) / static_cast<double>(d);
      const double ratio = std::max(std::sqrt(error) / tolerance(std::sqrt(std::max(before, now))),
                                    std::abs(errors[end]) / static_cast<double>(d) / tolerance(of_density));
      const bool accepted = ratio <= 1.0;
      if (t[i] < to) length[i] = h[i] * (accepted ? growth(ratio) : std::min(growth(ratio), 1.0));
      if (!accepted) continue;
      t[i] = after[i];
      std::copy_n(&next[begin], d + 1, &state[begin]);
      std::copy_n(&slopes.back()[begin], d + 1, &slope[begin]);
    }
    if (options.on_step) options.on_step();
  }
}

}  // namespace

std::vector<double> log_likelihood(ScoreModel& model, const Tensor& x, const LikelihoodOptions& options,
                                   const Tensor& labels) {
  const Process& process = model.process();
  require(x.defined() && x.rank() >= 2 && x.size(0) > 0, "likelihood: the points have shape {}, expected (N, ...)",
          x.shape());
  require(options.probes >= 0 && options.steps >= 0 && options.batch >= 1,
          "likelihood: {} probes, {} steps and a batch of {}", options.probes, options.steps, options.batch);
  const double from = options.t_end.value_or(process.t_min()), to = options.t_start.value_or(process.t_max());
  require(from < to, "likelihood: the clean end t = {} is not below the noisy end t = {}", from, to);
  const double alpha = process.alpha(from), sigma = process.sigma(to);
  require(alpha > 0.0, "likelihood: alpha = 0 at the clean end t = {}", from);
  require(!labels.defined() || labels.shape() == Shape({x.size(0)}), "likelihood: labels of shape {} for points {}",
          labels.shape(), x.shape());

  const FlowWithDivergence flow(model, x, labels, options);
  const std::size_t n = flow.count(), d = flow.dimension();
  const Values points = x.to_host_double();
  Values state(n * (d + 1));
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < d; ++j) state[i * (d + 1) + j] = alpha * points[i * d + j];
  if (options.steps > 0) {
    Values times = time_grid(process, options.grid, options.steps, to, from);
    std::ranges::reverse(times);
    runge_kutta(flow, options, times, state);
  } else {
    dormand_prince_steps(flow, options, from, to, state);
  }

  std::vector<double> result;
  const auto dimension = static_cast<double>(d);
  for (std::size_t i = 0; i < n; ++i) {
    double squares = 0.0;
    for (std::size_t j = 0; j < d; ++j) squares += state[i * (d + 1) + j] * state[i * (d + 1) + j];
    const double noise =
        -0.5 * squares / (sigma * sigma) - dimension * (std::log(sigma) + 0.5 * std::log(2.0 * std::numbers::pi));
    result.push_back(noise + state[i * (d + 1) + d] + dimension * std::log(alpha));
    require(std::isfinite(result.back()), "likelihood: the log-density of point {} is not finite", i);
  }
  return result;
}

std::vector<double> bits_per_dimension(std::span<const double> log_density, std::int64_t dimension, double bin_width) {
  std::vector<double> bits;
  for (const double value : log_density)
    bits.push_back(-(value / static_cast<double>(dimension) + std::log(bin_width)) / std::numbers::ln2);
  return bits;
}

Dequantised dequantised(const data::ImageSet& images, std::int64_t count, std::uint64_t seed) {
  require(count >= 1 && count <= images.count, "dequantise: {} images of {}", count, images.count);
  const auto d = static_cast<std::size_t>(images.dimension());
  Dequantised result{.values = std::vector<float>(static_cast<std::size_t>(count) * d)};
  const RandomKey key{seed, Purpose::probe_noise, 1};
  const bool whole_numbers = images.dtype == DType::uint8;
  if (whole_numbers) result.bin_width = 1.0 / 127.5;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::span<float> image = std::span(result.values).subspan(static_cast<std::size_t>(i) * d, d);
    images.copy_float(i, image);
    if (!whole_numbers) continue;
    for (std::size_t j = 0; j < d; ++j)
      image[j] += static_cast<float>(
          (uniform(key, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(j)) - 0.5) * result.bin_width);
  }
  return result;
}

}  // namespace tweedie
