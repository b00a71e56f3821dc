#include "diffusion/gaussian_score.h"

#include <Eigen/Dense>

#include "diffusion/per_sample.h"

namespace tweedie {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Rows = Eigen::Map<const Matrix>;

}  // namespace

GaussianScore::GaussianScore(const data::ImageSet& images, const Process& process, Device device)
    : process_(process), device_(device) {
  require(images.count >= 1, "gaussian score: the data set is empty");
  const auto d = static_cast<Eigen::Index>(images.dimension());
  Matrix second = Matrix::Zero(d, d);
  Eigen::VectorXd mean = Eigen::VectorXd::Zero(d);
  constexpr std::int64_t piece = 1024;
  const auto rows_from = [&](std::int64_t first) {
    const std::int64_t rows = std::min(piece, images.count - first);
    Matrix block(rows, d);
    std::vector<float> image(static_cast<std::size_t>(d));
    for (std::int64_t i = 0; i < rows; ++i) {
      images.copy_float(first + i, image);
      for (Eigen::Index j = 0; j < d; ++j) block(i, j) = double{image[static_cast<std::size_t>(j)]};
    }
    return block;
  };
  for (std::int64_t first = 0; first < images.count; first += piece) mean += rows_from(first).colwise().sum();
  mean /= static_cast<double>(images.count);
  for (std::int64_t first = 0; first < images.count; first += piece) {
    Matrix block = rows_from(first);
    block.rowwise() -= mean.transpose();
    second.noalias() += block.transpose() * block;
  }
  second /= static_cast<double>(images.count);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(second);
  require(solver.info() == Eigen::Success, "gaussian score: no eigenvalues of the covariance; are all pixels finite?");
  mean_.assign(mean.data(), mean.data() + d);
  const Eigen::VectorXd values = solver.eigenvalues().cwiseMax(0.0);  // below 0 by rounding alone
  eigenvalues_.assign(values.data(), values.data() + d);
  // Column-major eigenvectors: eigenvector k is the run of d numbers from k d on.
  eigenvectors_.assign(solver.eigenvectors().data(), solver.eigenvectors().data() + d * d);
}

Tensor GaussianScore::predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels) {
  check_batch("gaussian score", z, t);
  require(!labels.defined(), "gaussian score: labels given to a model that knows nothing of classes");
  require(!(z.requires_grad() && grad_enabled()), "gaussian score: not differentiable, but z requires a gradient");
  const std::int64_t count = z.size(0), d = z.shape().count_between(1, z.rank());
  require(d == dimension(), "gaussian score: z has shape {}, expected {} numbers a sample", z.shape(), dimension());
  const std::vector<double> points = z.to_host_double();
  const Eigen::Map<const Eigen::RowVectorXd> mean(mean_.data(), d);
  const Rows eigenvectors(eigenvectors_.data(), d, d);
  Matrix offsets = Rows(points.data(), count, d);
  for (std::int64_t n = 0; n < count; ++n) offsets.row(n) -= process_.alpha(t[static_cast<std::size_t>(n)]) * mean;
  Matrix projected = offsets * eigenvectors.transpose();
  // Along eigenvector k: x0 gains alpha l/(alpha^2 l + sigma^2) of the offset, the noise sigma/(alpha^2 l + sigma^2).
  Matrix answer(count, d);
  for (std::int64_t n = 0; n < count; ++n) {
    const double level = t[static_cast<std::size_t>(n)], a = process_.alpha(level), s = process_.sigma(level);
    const bool is_score = view == View::score;
    const Coefficients c = is_score ? Coefficients{} : target_coefficients(process_, level, view);
    for (std::int64_t k = 0; k < d; ++k) {
      const double eigenvalue = eigenvalues_[static_cast<std::size_t>(k)];
      const double variance = a * a * eigenvalue + s * s;
      // Without noise, what has no variance has no offset either: x0 is z/alpha.
      require(variance > 0.0 || view == View::x0,
              "gaussian score: no density at t = {} of process {}: the covariance is singular and sigma = 0", level,
              process_.name());
      const double clean = variance > 0.0 ? a * eigenvalue / variance : 1.0 / a;
      const double noise = variance > 0.0 ? s / variance : 0.0;
      projected(n, k) *= is_score ? -1.0 / variance : c.x * clean + c.e * noise;
    }
    answer.row(n) = is_score ? Eigen::RowVectorXd::Zero(d) : Eigen::RowVectorXd(c.x * mean);
  }
  answer.noalias() += projected * eigenvectors;
  return Tensor::from_host(std::span<const double>(answer.data(), static_cast<std::size_t>(count * d)), z.shape(),
                           z.device());
}

std::optional<std::vector<double>> GaussianScore::denoiser_divergence(const Tensor& z, std::span<const double> t,
                                                                      const Tensor& /*labels*/) {
  check_batch("gaussian score", z, t);
  std::vector<double> divergence;
  for (const double level : t) {
    const double a = process_.alpha(level), s = process_.sigma(level);
    require(s > 0.0, "gaussian score: no divergence at sigma = 0");
    double sum = 0.0;
    for (const double eigenvalue : eigenvalues_) sum += a * eigenvalue / (a * a * eigenvalue + s * s);
    divergence.push_back(sum);
  }
  return divergence;
}

}  // namespace tweedie
