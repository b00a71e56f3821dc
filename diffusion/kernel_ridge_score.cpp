#include "diffusion/kernel_ridge_score.h"

#include <Eigen/Dense>
#include <cmath>

#include "diffusion/per_sample.h"

namespace tweedie {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Rows = Eigen::Map<const Matrix>;

/// exp(-|a_i - b_j|^2/2) of all pairs.
Matrix kernel(const Matrix& a, const Matrix& b) {
  Matrix result(a.rows(), b.rows());
  for (Eigen::Index i = 0; i < a.rows(); ++i)
    result.row(i) = (-0.5 * (b.rowwise() - a.row(i)).rowwise().squaredNorm()).array().exp().matrix().transpose();
  return result;
}

}  // namespace

KernelRidgeScore::KernelRidgeScore(std::shared_ptr<const DeviceImages> images, const Process& process,
                                   Features features, const KernelRidgeOptions& options)
    : process_(process), device_(images->pixels.device()), features_(std::move(features)), options_(options) {
  require(options.draws >= 1 && options.width > 0.0 && options.time_width > 0.0 && options.ridge > 0.0,
          "kernel ridge: {} draws, widths {} and {} and ridge {}, expected all above 0", options.draws, options.width,
          options.time_width, options.ridge);
  dimension_ = images->dimensions();
  DrawRequest request{.seed = options.seed, .t = {}, .fields = DrawFields::clean, .coefficients = {}};
  for (std::int64_t i = 0; i < options.draws; ++i)
    request.t.push_back(process.t_min() + (process.t_max() - process.t_min()) *
                                              uniform({.seed = options.seed, .purpose = Purpose::noise_level},
                                                      static_cast<std::uint32_t>(i)));
  const Draw draw = NoisedData(std::move(images), process).draw(request);
  const std::vector<double> z = draw.z.to_host_double(), clean = draw.clean.to_host_double();
  const auto d = static_cast<std::size_t>(dimension_);
  for (std::size_t i = 0; i < request.t.size(); ++i) {
    const std::vector<double> row = described(std::span(z).subspan(i * d, d), request.t[i]);
    width_ = static_cast<std::int64_t>(row.size());
    rows_.insert(rows_.end(), row.begin(), row.end());
  }
  const Rows rows(rows_.data(), options.draws, width_);
  const Eigen::RowVectorXd mean = Rows(clean.data(), options.draws, dimension_).colwise().mean();
  const Matrix targets = Rows(clean.data(), options.draws, dimension_).rowwise() - mean;
  Eigen::MatrixXd gram = kernel(rows, rows);
  gram.diagonal().array() += options.ridge;
  const Matrix coefficients = gram.llt().solve(targets);
  mean_.assign(mean.data(), mean.data() + dimension_);
  coefficients_.assign(coefficients.data(), coefficients.data() + coefficients.size());
}

std::vector<double> KernelRidgeScore::described(std::span<const double> z, double t) const {
  std::vector<double> row = features_(z);
  for (double& value : row) value /= options_.width;
  row.push_back(t / options_.time_width);
  return row;
}

Tensor KernelRidgeScore::predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels) {
  check_batch("kernel ridge", z, t);
  require(!labels.defined(), "kernel ridge: labels given to a model that knows nothing of classes");
  require(!(z.requires_grad() && grad_enabled()), "kernel ridge: not differentiable, but z requires a gradient");
  require(z.shape().count_between(1, z.rank()) == dimension_,
          "kernel ridge: z has shape {}, expected {} numbers a sample", z.shape(), dimension_);
  const std::vector<double> points = z.to_host_double();
  const auto d = static_cast<std::size_t>(dimension_);
  Matrix queries(z.size(0), width_);
  for (std::size_t n = 0; n < t.size(); ++n) {
    const std::vector<double> row = described(std::span(points).subspan(n * d, d), t[n]);
    queries.row(static_cast<Eigen::Index>(n)) = Eigen::Map<const Eigen::RowVectorXd>(row.data(), width_);
  }
  const Matrix clean = kernel(queries, Rows(rows_.data(), options_.draws, width_)) *
                       Rows(coefficients_.data(), options_.draws, dimension_);
  std::vector<double> values(points.size());
  for (std::size_t n = 0; n < t.size(); ++n) {
    const ViewConversion c = view == View::x0 ? ViewConversion{} : from_posterior_mean(process_, t[n], view);
    for (std::size_t j = 0; j < d; ++j)
      values[n * d + j] = c.p * (mean_[j] + clean(static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(j))) +
                          c.q * points[n * d + j];
  }
  return Tensor::from_host(std::span<const double>(values), z.shape(), z.device());
}

}  // namespace tweedie
