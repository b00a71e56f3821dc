#include "diffusion/linear_model.h"

#include <algorithm>
#include <cmath>

#include "diffusion/per_sample.h"
#include "kernels/cholesky/cholesky.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

std::size_t size(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

/// sqrt(l_i / P): rows of features and targets multiplied with it have S and A as their plain products.
std::vector<double> root_weights(const Process& process, const LinearDraws& draws) {
  std::vector<double> roots;
  for (const double t : draws.t)
    roots.push_back(process.alpha(t) / process.sigma(t) / std::sqrt(static_cast<double>(draws.count())));
  return roots;
}

/// sqrt(l_i / P) phi(z_i, t_i) in rows of `stride`.
std::vector<double> weighted_features(const FeatureMap& features, const LinearDraws& draws,
                                      std::span<const double> roots, std::int64_t stride) {
  const std::size_t d = size(features.dimension()), count = size(features.count());
  std::vector<double> rows(size(draws.count() * stride), 0.0);
  for (std::size_t i = 0; i < draws.t.size(); ++i) {
    const auto row = std::span(rows).subspan(i * size(stride), count);
    features.evaluate(std::span(draws.z).subspan(i * d, d), draws.t[i], row);
    for (double& value : row) value *= roots[i];
  }
  return rows;
}

/// The Gram matrix of weighted features between draws. For crossed features it is a product of one matrix an axis.
SymmetricSystem kernel_of_draws(const FeatureMap& features, const LinearDraws& draws, std::span<const double> roots,
                                std::span<const double> rows, std::int64_t row_stride) {
  SymmetricSystem kernel(draws.count());
  const std::size_t n = draws.t.size(), stride = size(kernel.stride());
  const auto* crossed = dynamic_cast<const CrossedFeatures*>(&features);
  if (crossed == nullptr) {
    std::vector<double> columns(size(features.count()) * stride, 0.0);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t f = 0; f < size(features.count()); ++f) columns[f * stride + i] = rows[i * size(row_stride) + f];
    kernel.add_outer_products(columns);
    return kernel;
  }
  const std::size_t d = size(crossed->dimension());
  for (std::size_t j = 0; j <= d; ++j) {
    const FeatureAxis& axis = j < d ? crossed->space()[j] : crossed->time();
    double values[FlowAxis::most];
    std::vector<double> columns(size(axis.count) * stride, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
      axis.evaluate(j < d ? draws.z[i * d + j] : draws.t[i], std::span(values, size(axis.count)));
      for (std::size_t a = 0; a < size(axis.count); ++a)
        columns[a * stride + i] = values[a] * (j == d ? roots[i] : 1.0);
    }
    SymmetricSystem factor(draws.count());
    factor.add_outer_products(columns);
    if (j == 0)
      kernel = std::move(factor);
    else
      kernel.multiply_entries(factor);
  }
  return kernel;
}

void check(const FeatureMap& features, const LinearDraws& draws, std::size_t targets) {
  const std::size_t expected = size(features.dimension()) * draws.t.size();
  require(!draws.t.empty() && draws.z.size() == expected && targets == expected,
          "linear model: {} draws of dimension {} have {} coordinates and {} target values", draws.t.size(),
          features.dimension(), draws.z.size(), targets);
}

}  // namespace

LinearDraws draw_training(const PointSet& set, const DrawPlan& plan, std::int64_t model) {
  const auto stream = static_cast<std::uint32_t>(model);
  const auto key = [&](Purpose purpose) { return RandomKey{plan.seed, purpose, plan.cell}; };
  const std::int64_t d = set.dimension();
  LinearDraws draws;
  for (std::int64_t i = 0; i < plan.count; ++i) {
    const auto position = static_cast<std::uint32_t>(i);
    const auto point = set.point(uniform_integer(key(Purpose::choose_sample), stream, set.count(), position));
    const double t = plan.t_min + (plan.t_max - plan.t_min) * uniform(key(Purpose::noise_level), stream, position);
    const double alpha = plan.process.alpha(t), sigma = plan.process.sigma(t);
    draws.t.push_back(t);
    for (std::int64_t j = 0; j < d; ++j) {
      const double e = normal(key(Purpose::noise), stream, static_cast<std::uint32_t>(i * d + j));
      draws.z.push_back(alpha * point[size(j)] + sigma * e);
      draws.target.push_back(point[size(j)]);
    }
  }
  return draws;
}

std::vector<double> exact_targets(const PointSet& set, const Process& process, const LinearDraws& draws) {
  const std::size_t d = size(set.dimension());
  std::vector<double> targets(draws.z.size());
  for (std::size_t i = 0; i < draws.t.size(); ++i)
    set.denoise(std::span(draws.z).subspan(i * d, d), process.alpha(draws.t[i]), process.sigma(draws.t[i]),
                std::span(targets).subspan(i * d, d));
  return targets;
}

std::vector<std::vector<double>> fit_linear(const FeatureMap& features, const Process& process,
                                            const LinearDraws& draws, double ridge,
                                            std::span<const std::vector<double>> more) {
  check(features, draws, draws.target.size());
  for (const auto& targets : more) check(features, draws, targets.size());
  const std::int64_t count = features.count(), n = draws.count(), d = features.dimension();
  const std::vector<double> roots = root_weights(process, draws);
  const bool in_features = n > count;
  SymmetricSystem system(in_features ? count : 1);
  const std::int64_t stride = in_features ? system.stride() : count;
  const std::vector<double> rows = weighted_features(features, draws, roots, stride);
  if (in_features)
    system.add_outer_products(rows);
  else
    system = kernel_of_draws(features, draws, roots, rows, stride);
  system.add_to_diagonal(ridge);
  system.factorise();

  std::vector<std::vector<double>> fits;
  for (std::size_t fit = 0; fit <= more.size(); ++fit) {
    const std::vector<double>& targets = fit == 0 ? draws.target : more[fit - 1];
    std::vector<double> weights(size(d * count), 0.0), dual(size(n));
    for (std::int64_t j = 0; j < d; ++j) {
      const auto w = std::span(weights).subspan(size(j * count), size(count));
      for (std::int64_t i = 0; i < n; ++i) dual[size(i)] = roots[size(i)] * targets[size(i * d + j)];
      if (!in_features) system.solve(dual);
      for (std::int64_t i = 0; i < n; ++i) {
        const double* row = rows.data() + i * stride;
        for (std::size_t f = 0; f < w.size(); ++f) w[f] += dual[size(i)] * row[f];
      }
      if (in_features) system.solve(w);
    }
    fits.push_back(std::move(weights));
  }
  return fits;
}

std::vector<double> descend_linear(const FeatureMap& features, const Process& process, const LinearDraws& draws,
                                   double ridge, std::int64_t steps, double rate) {
  check(features, draws, draws.target.size());
  require(rate > 0.0 && rate < 2.0, "linear model: rate {} of gradient descent, expected between 0 and 2", rate);
  const std::size_t count = size(features.count()), d = size(features.dimension());
  const std::vector<double> roots = root_weights(process, draws);
  const std::vector<double> rows = weighted_features(features, draws, roots, features.count());
  // v <- (S + ridge I) v - right
  const auto gradient = [&](std::span<const double> v, std::size_t output, bool with_target) {
    std::vector<double> result(count);
    for (std::size_t f = 0; f < count; ++f) result[f] = ridge * v[f];
    for (std::size_t i = 0; i < draws.t.size(); ++i) {
      const double* row = rows.data() + i * count;
      double residual = with_target ? -roots[i] * draws.target[i * d + output] : 0.0;
      for (std::size_t f = 0; f < count; ++f) residual += row[f] * v[f];
      for (std::size_t f = 0; f < count; ++f) result[f] += residual * row[f];
    }
    return result;
  };
  std::vector<double> direction(count, 1.0 / std::sqrt(static_cast<double>(count)));
  double largest = 0.0;
  for (int iteration = 0; iteration < 100; ++iteration) {
    direction = gradient(direction, 0, false);
    largest = 0.0;
    for (const double value : direction) largest += value * value;
    largest = std::sqrt(largest);
    for (double& value : direction) value /= largest;
  }
  std::vector<double> weights(d * count, 0.0);
  for (std::size_t j = 0; j < d; ++j) {
    const auto w = std::span(weights).subspan(j * count, count);
    for (std::int64_t step = 0; step < steps; ++step) {
      const std::vector<double> slope = gradient(w, j, true);
      for (std::size_t f = 0; f < count; ++f) w[f] -= rate / largest * slope[f];
    }
  }
  return weights;
}

void linear_mean(const FeatureMap& features, std::span<const double> weights, std::span<const double> z, double t,
                 std::span<double> mean) {
  thread_local std::vector<double> phi;
  phi.resize(size(features.count()));
  features.evaluate(z, t, phi);
  for (std::size_t j = 0; j < mean.size(); ++j) {
    mean[j] = 0.0;
    for (std::size_t f = 0; f < phi.size(); ++f) mean[j] += weights[j * phi.size() + f] * phi[f];
  }
}

LinearScore::LinearScore(std::shared_ptr<const FeatureMap> features, std::vector<double> weights,
                         const Process& process, Device device)
    : features_(std::move(features)), weights_(std::move(weights)), process_(process), device_(device) {
  require(static_cast<std::int64_t>(weights_.size()) == features_->dimension() * features_->count(),
          "linear score: {} weights for {} features of dimension {}", weights_.size(), features_->count(),
          features_->dimension());
}

Tensor LinearScore::predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels) {
  check_batch("linear score", z, t);
  require(!labels.defined(), "linear score: labels given to a model that knows nothing of classes");
  require(!(z.requires_grad() && grad_enabled()), "linear score: not differentiable, but z requires a gradient");
  const std::int64_t count = z.size(0), d = z.shape().count_between(1, z.rank());
  require(d == features_->dimension(), "linear score: z has shape {}, expected {} numbers a sample", z.shape(),
          features_->dimension());
  const std::vector<double> points = z.to_host_double();
  std::vector<double> values(points.size());
  parallel_for(count, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t n = first; n < last; ++n) {
      const auto point = std::span(points).subspan(size(n * d), size(d));
      const auto out = std::span(values).subspan(size(n * d), size(d));
      linear_mean(*features_, weights_, point, t[size(n)], out);
      const ViewConversion to = from_posterior_mean(process_, t[size(n)], view);
      for (std::size_t j = 0; j < out.size(); ++j) out[j] = to.p * out[j] + to.q * point[j];
    }
  });
  return Tensor::from_host(std::span<const double>(values), z.shape(), z.device());
}

}  // namespace tweedie
