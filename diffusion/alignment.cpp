#include "diffusion/alignment.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/activation.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/shape.h"

namespace tweedie {
namespace {

/// Activations as (N, H, W, C), tokens being the rows of a square grid.
Tensor on_grid(const Tensor& hidden, const std::string& layer) {
  if (hidden.rank() == 4) return hidden;
  const auto side =
      hidden.rank() == 3 ? static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(hidden.size(1))))) : 0;
  require(hidden.rank() == 3 && side * side == hidden.size(1),
          "alignment: layer {} has activations {}, expected (N, H, W, C) or (N, side^2, C)", layer, hidden.shape());
  return reshape(hidden, {hidden.size(0), side, side, hidden.size(2)});
}

/// x / |x| along the last axis.
Tensor directions(const Tensor& x) {
  constexpr double smallest = 1e-12;  // keeps the direction of a zero vector finite
  const Tensor norm = sqrt(scale(sum(square(x), x.rank() - 1, x.rank()), 1.0, smallest));
  return divide(x, reshape(norm, {x.size(0), x.size(1), x.size(2), 1}));
}

/// Both averaged over squares until their grids agree.
void match_grids(Tensor& hidden, Tensor& patches, const std::string& layer) {
  const auto factor = [](const Tensor& large, const Tensor& small) {
    const std::int64_t f = large.size(1) / small.size(1);
    return f > 0 && large.size(1) == f * small.size(1) && large.size(2) == f * small.size(2) ? static_cast<int>(f) : 0;
  };
  if (const int f = factor(hidden, patches); f > 0) {
    if (f > 1) hidden = average_pool(hidden, f);
    return;
  }
  const int f = factor(patches, hidden);
  require(f > 0, "alignment: layer {} has {} x {} positions and the encoder {} x {}; one must divide the other", layer,
          hidden.size(1), hidden.size(2), patches.size(1), patches.size(2));
  patches = average_pool(patches, f);
}

}  // namespace

RepresentationAlignment::RepresentationAlignment(std::shared_ptr<const ConvEncoder> encoder, Network& network,
                                                 const Options& options, std::uint64_t seed)
    : Module(network.device()), encoder_(std::move(encoder)), options_(options) {
  require(encoder_ != nullptr, "alignment: no encoder");
  const std::vector<std::string> names = network.tap_names();
  if (std::find(names.begin(), names.end(), options.layer) == names.end()) {
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    throw UsageError(fmt::format("alignment: the network has no layer '{}'; it has {}", options.layer, list));
  }
  // One image through both says how many channels the layer has, and whether the two grids fit.
  const NoGrad guard;
  const ConvEncoderConfig& config = encoder_->config();
  const Tensor image = Tensor::zeros({1, config.height, config.width, config.channels}, device());
  std::map<std::string, Tensor> taps{{options.layer, {}}};
  ForwardContext context{.taps = &taps};
  const std::vector<std::int64_t> zero = {0};
  const Tensor label =
      network.label_classes() > 0 ? Tensor::from_host(std::span<const std::int64_t>(zero), {1}, device()) : Tensor();
  network.forward(image, Tensor::zeros({1}, device()), label, context);
  Tensor hidden = on_grid(taps.at(options.layer), options.layer), patches = encoder_->patches(image);
  match_grids(hidden, patches, options.layer);
  const Scope scope{device(), seed, "alignment"};
  const auto layer = [&](const char* name, std::int64_t in, std::int64_t out) {
    return &register_module(name, std::make_unique<Linear>(scope.in(name), in, out));
  };
  first_ = layer("first", hidden.size(3), options.projection);
  second_ = layer("second", options.projection, options.projection);
  last_ = layer("last", options.projection, encoder_->feature_channels());
}

std::string RepresentationAlignment::describe() const {
  return fmt::format("{} aligned with an encoder's patches, weight {}", options_.layer, options_.weight);
}

Tensor RepresentationAlignment::loss(const Tensor& hidden, const Tensor& clean) const {
  Tensor patches;
  {
    const NoGrad guard;
    patches = encoder_->patches(clean);
  }
  Tensor tokens = on_grid(hidden, options_.layer);
  match_grids(tokens, patches, options_.layer);
  const Tensor projected = (*last_)(silu((*second_)(silu((*first_)(tokens)))));
  const Tensor cosine = sum(multiply(directions(projected), directions(patches).detach()), 3, 4);
  return negate(mean(cosine, 1, 3));
}

std::string middle_layer(const Network& network) {
  std::vector<std::string> blocks;
  for (const std::string& name : network.tap_names()) {
    if (name == "mid_block") return name;
    if (name.starts_with("blocks.")) blocks.push_back(name);
  }
  require(!blocks.empty(), "alignment: the network has neither blocks nor a mid block");
  return blocks[(blocks.size() - 1) / 2];
}

}  // namespace tweedie
