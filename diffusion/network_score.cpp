#include "diffusion/network_score.h"

#include "diffusion/per_sample.h"

namespace tweedie {

NetworkScore::NetworkScore(std::shared_ptr<Network> network, const Process& process,
                           const Parameterisation& parameterisation, std::optional<std::int64_t> null_label)
    : network_(std::move(network)), process_(process), parameterisation_(parameterisation), null_label_(null_label) {
  require(network_ != nullptr, "network score: no network");
  require(network_->in_channels() == network_->out_channels(),
          "network score: the network maps {} channels to {}, expected as many out as in", network_->in_channels(),
          network_->out_channels());
  if (!null_label_) null_label_ = network_->null_label();
  require(!null_label_ || *null_label_ == network_->label_classes() - 1,
          "network score: null label {} for a network of {} labels, expected its last one", null_label_.value_or(0),
          network_->label_classes());
}

Tensor NetworkScore::output(const Tensor& z, std::span<const double> t, const Tensor& labels, ForwardContext& context) {
  check_batch("network score", z, t);
  require(z.rank() == 4 && z.size(3) == network_->in_channels(),
          "network score: z has shape {}, expected (N, H, W, C) with {} channels", z.shape(), network_->in_channels());
  require(labels.defined() == (network_->label_classes() > 0), "network score: labels {} for a network {} of classes",
          labels.defined() ? "given" : "missing", labels.defined() ? "that knows nothing" : "conditioned on one");
  std::vector<double> scales, times;
  for (double level : t) {
    scales.push_back(input_scale(process_, level, parameterisation_));
    times.push_back(time_input(process_, level, parameterisation_.time_input));
  }
  const Tensor input = combine({{scales, z}});
  const Tensor timesteps = Tensor::from_host(std::span<const double>(times), {z.size(0)}, z.device());
  const Tensor result = network_->forward(input, timesteps, labels, context);
  require(result.shape() == z.shape(), "network score: the network answered {} to {}", result.shape(), z.shape());
  return result;
}

Tensor NetworkScore::converted(const Tensor& output, const Tensor& z, std::span<const double> t, View view) const {
  check_batch("network score", z, t);
  std::vector<double> p, q;
  for (double level : t) {
    const ViewConversion c = conversion(process_, level, parameterisation_, view);
    p.push_back(c.p);
    q.push_back(c.q);
  }
  return combine({{p, output}, {q, z}});
}

Tensor NetworkScore::predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels) {
  ForwardContext context;
  return converted(output(z, t, labels, context), z, t, view);
}

}  // namespace tweedie
