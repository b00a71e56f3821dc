#include "diffusion/tangent_kernel.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "diffusion/per_sample.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

using Matrix = Eigen::MatrixXd;

double dot(std::span<const double> u, std::span<const double> v) {
  double sum = 0.0;
  for (std::size_t j = 0; j < u.size(); ++j) sum += u[j] * v[j];
  return sum;
}

std::size_t size(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

}  // namespace

double tangent_kernel(std::span<const double> u, std::span<const double> v, int hidden_layers) {
  require(u.size() == v.size() && !u.empty() && hidden_layers >= 1,
          "tangent kernel: inputs of dimension {} and {}, {} hidden layers", u.size(), v.size(), hidden_layers);
  const auto m = static_cast<double>(u.size());
  const double norms = std::sqrt(dot(u, u) * dot(v, v)) / m;  // every layer keeps it
  require(norms > 0.0, "tangent kernel: an input is 0");
  double correlation = std::clamp(dot(u, v) / (m * norms), -1.0, 1.0), tangent = correlation;
  for (int layer = 0; layer < hidden_layers; ++layer) {
    const double angle = std::acos(correlation), rest = std::numbers::pi - angle;
    tangent *= rest / std::numbers::pi;
    correlation = std::clamp((std::sin(angle) + rest * correlation) / std::numbers::pi, -1.0, 1.0);
    tangent += correlation;
  }
  return norms * tangent;
}

KernelFlow::KernelFlow(std::vector<double> inputs, std::int64_t input_dimension, std::vector<double> loss_weights,
                       int hidden_layers)
    : inputs_(std::move(inputs)),
      input_dimension_(input_dimension),
      loss_weights_(std::move(loss_weights)),
      hidden_layers_(hidden_layers) {
  const std::int64_t n = count();
  require(n > 0 && inputs_.size() == loss_weights_.size() * size(input_dimension),
          "kernel flow: {} numbers are no {} inputs of dimension {}", inputs_.size(), n, input_dimension);
  Matrix system(n, n);
  for (std::int64_t i = 0; i < n; ++i) {
    require(loss_weights_[size(i)] > 0.0, "kernel flow: a loss weight is {}", loss_weights_[size(i)]);
    const auto row = kernel_row(std::span(inputs_).subspan(size(i * input_dimension), size(input_dimension)));
    for (std::int64_t j = 0; j < n; ++j)
      system(i, j) = row[size(j)] * std::sqrt(loss_weights_[size(i)] * loss_weights_[size(j)]) / static_cast<double>(n);
  }
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(system);
  require(solver.info() == Eigen::Success, "kernel flow: no eigenvalues; are the inputs finite?");
  rates_.assign(solver.eigenvalues().data(), solver.eigenvalues().data() + n);
  for (double& rate : rates_) rate = std::max(rate, 0.0);  // negative by rounding alone
  modes_.assign(solver.eigenvectors().data(), solver.eigenvectors().data() + n * n);
}

std::vector<double> KernelFlow::kernel_row(std::span<const double> u) const {
  std::vector<double> row(loss_weights_.size());
  for (std::size_t i = 0; i < row.size(); ++i)
    row[i] = tangent_kernel(u, std::span(inputs_).subspan(i * size(input_dimension_), size(input_dimension_)),
                            hidden_layers_);
  return row;
}

std::vector<double> KernelFlow::response(double tau) const {
  require(tau >= 0.0, "kernel flow: training time {}, expected at least 0", tau);
  const std::int64_t n = count();
  const Eigen::Map<const Matrix> modes(modes_.data(), n, n);
  Eigen::VectorXd learned(n), roots(n);
  for (std::int64_t k = 0; k < n; ++k) {
    const double rate = rates_[size(k)];
    // (1 - exp(-rate tau))/rate, which is tau at rate 0; an infinite tau interpolates.
    learned[k] = rate * tau > 1e-12 ? -std::expm1(-rate * tau) / rate : rate > 0.0 ? tau : 0.0;
    roots[k] = std::sqrt(loss_weights_[size(k)]);
  }
  const Matrix result = roots.asDiagonal() * modes * learned.asDiagonal() * modes.transpose() * roots.asDiagonal() /
                        static_cast<double>(n);
  return {result.data(), result.data() + n * n};  // symmetric
}

std::vector<double> network_input(std::span<const double> z, double t, double time_scale) {
  std::vector<double> input(z.begin(), z.end());
  input.push_back(time_scale * t);
  input.push_back(1.0);
  return input;
}

KernelScore::KernelScore(std::shared_ptr<const KernelFlow> flow, std::span<const double> targets, double tau,
                         double time_scale, const Process& process, Device device)
    : flow_(std::move(flow)),
      dimension_(static_cast<std::int64_t>(targets.size()) / flow_->count()),
      time_scale_(time_scale),
      process_(process),
      device_(device) {
  const std::size_t n = size(flow_->count()), d = size(dimension_);
  require(targets.size() == n * d && d > 0, "kernel score: {} target values for {} inputs", targets.size(), n);
  const std::vector<double> response = flow_->response(tau);
  coefficients_.assign(n * d, 0.0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < n; ++k)
      for (std::size_t j = 0; j < d; ++j) coefficients_[i * d + j] += response[i * n + k] * targets[k * d + j];
}

Tensor KernelScore::predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels) {
  check_batch("kernel score", z, t);
  require(!labels.defined(), "kernel score: labels given to a model that knows nothing of classes");
  require(!(z.requires_grad() && grad_enabled()), "kernel score: not differentiable, but z requires a gradient");
  const std::int64_t d = z.shape().count_between(1, z.rank());
  require(d == dimension_, "kernel score: z has shape {}, expected {} numbers a sample", z.shape(), dimension_);
  const std::vector<double> points = z.to_host_double();
  std::vector<double> values(points.size());
  parallel_for(z.size(0), 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t n = first; n < last; ++n) {
      const auto point = std::span(points).subspan(size(n * d), size(d));
      const std::vector<double> row = flow_->kernel_row(network_input(point, t[size(n)], time_scale_));
      const ViewConversion to = from_posterior_mean(process_, t[size(n)], view);
      for (std::size_t j = 0; j < point.size(); ++j) {
        double clean = 0.0;
        for (std::size_t i = 0; i < row.size(); ++i) clean += row[i] * coefficients_[i * size(d) + j];
        values[size(n * d) + j] = to.p * clean + to.q * point[j];
      }
    }
  });
  return Tensor::from_host(std::span<const double>(values), z.shape(), z.device());
}

WideNetwork::WideNetwork(std::int64_t width, std::int64_t input_dimension, std::uint64_t seed)
    : width_(width), input_dimension_(input_dimension) {
  require(width > 0 && input_dimension > 0, "wide network: width {} and inputs of dimension {}", width,
          input_dimension);
  const RandomKey key{seed, Purpose::initialise_parameters, 2};
  for (std::int64_t j = 0; j < width; ++j) {
    const auto unit = static_cast<std::uint32_t>(j);
    for (std::int64_t i = 0; i < input_dimension; ++i)
      hidden_.push_back(normal(key, unit, static_cast<std::uint32_t>(i)));
    output_.push_back(normal(key, unit, static_cast<std::uint32_t>(input_dimension)));
  }
}

double WideNetwork::evaluate(std::span<const double> u) const {
  require(static_cast<std::int64_t>(u.size()) == input_dimension_,
          "wide network: an input of dimension {}, expected {}", u.size(), input_dimension_);
  double sum = 0.0;
  for (std::int64_t j = 0; j < width_; ++j)
    sum += output_[size(j)] * std::max(0.0, dot(std::span(hidden_).subspan(size(j) * u.size(), u.size()), u));
  return sum * std::sqrt(2.0 / static_cast<double>(width_ * input_dimension_));
}

void WideNetwork::train(std::span<const double> inputs, std::span<const double> targets,
                        std::span<const double> loss_weights, double tau, std::int64_t steps) {
  const Eigen::Index n = static_cast<Eigen::Index>(targets.size()), m = input_dimension_;
  require(
      inputs.size() == targets.size() * size(input_dimension_) && loss_weights.size() == targets.size() && steps > 0,
      "wide network: {} inputs, {} targets, {} weights, {} steps", inputs.size(), targets.size(), loss_weights.size(),
      steps);
  const double scale = std::sqrt(2.0 / static_cast<double>(width_ * m));
  const Eigen::Map<const Matrix> U(inputs.data(), m, n);
  Eigen::Map<Matrix> hidden(hidden_.data(), m, width_);
  Eigen::Map<Eigen::VectorXd> output(output_.data(), width_);
  Eigen::VectorXd slope(n);
  for (std::int64_t step = 0; step < steps; ++step) {
    const Matrix active = (hidden.transpose() * U).cwiseMax(0.0);  // (width, n)
    const Eigen::VectorXd values = scale * (active.transpose() * output);
    for (Eigen::Index i = 0; i < n; ++i)
      slope[i] = loss_weights[size(i)] * (values[i] - targets[size(i)]) / static_cast<double>(n) * tau /
                 static_cast<double>(steps) * scale;
    const Matrix on = (active.array() > 0.0).cast<double>();
    const Matrix hidden_slope = (U * slope.asDiagonal()) * on.transpose();  // (m, width), before the output weights
    const Eigen::VectorXd output_slope = active * slope;
    hidden -= hidden_slope * output.asDiagonal();
    output -= output_slope;
  }
}

}  // namespace tweedie
