#pragma once

#include <memory>
#include <string>

#include "nn/conv_encoder.h"
#include "nn/network.h"

namespace tweedie {

/// Representation alignment (REPA, Yu et al. 2024): weight times the negative cosine, averaged over positions, between
/// a projection of a hidden layer at the noised image and a frozen encoder's patches of the clean one. An auxiliary
/// term of a Trainer; the projection (linear, silu, linear, silu, linear) is trained beside the network and not part of
/// it.
class RepresentationAlignment : public Module {
 public:
  struct Options {
    double weight = 0.5;
    std::string layer;              // a tap of the network whose activations are (N, H, W, C) or (N, side^2, C)
    std::int64_t projection = 128;  // width of the projection's hidden layers
  };
  /// Throws Error where the network has no such tap, or one whose positions are no multiple or part of the encoder's.
  RepresentationAlignment(std::shared_ptr<const ConvEncoder> encoder, Network& network, const Options& options,
                          std::uint64_t seed);

  const std::string& layer() const { return options_.layer; }
  double weight() const { return options_.weight; }
  std::string describe() const;
  /// -mean over positions of the cosine, a sample: `hidden` the tap's activations, `clean` (N, H, W, C) the images;
  /// (N).
  Tensor loss(const Tensor& hidden, const Tensor& clean) const;

 private:
  std::shared_ptr<const ConvEncoder> encoder_;
  Options options_;
  const Linear *first_ = nullptr, *second_ = nullptr, *last_ = nullptr;
};

/// The tap in the middle of a network: half way through a transformer's blocks, a U-Net's mid block.
std::string middle_layer(const Network& network);

}  // namespace tweedie
