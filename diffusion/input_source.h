#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/draw.h"
#include "diffusion/process.h"
#include "kernels/runtime/random.h"

namespace tweedie {

/// Images on a device, ready to be noised. uint8 values v stand for v / 127.5 - 1.
struct DeviceImages {
  Tensor pixels;  // (count, H W C), uint8 or floating
  std::int64_t height = 0, width = 0, channels = 0;
  std::vector<std::int64_t> labels;  // (count), or empty
  std::int64_t label_classes = 0;
  std::int64_t count() const { return pixels.size(0); }
  std::int64_t dimensions() const { return height * width * channels; }
};

/// *Where* a score is supervised: states z with the noise level the network is told (the first part of an intervention,
/// `where x what x weight`).
class InputSource {
 public:
  virtual ~InputSource() = default;
  virtual DrawFields provides() const = 0;
  /// The draws asked for. What they hold depends on (seed, step, index in the batch) and the source alone.
  virtual Draw draw(const DrawRequest& request) const = 0;
  virtual const Process& process() const = 0;
  virtual std::string describe() const = 0;
};

/// z = alpha x + sigma e with x uniform over a set of images and e standard normal: where denoising score matching
/// supervises.
class NoisedData final : public InputSource {
 public:
  NoisedData(std::shared_ptr<const DeviceImages> images, Process process);
  DrawFields provides() const override {
    return DrawFields::clean | DrawFields::noise | DrawFields::conditional_target | DrawFields::source;
  }
  Draw draw(const DrawRequest& request) const override;
  const Process& process() const override { return process_; }
  std::string describe() const override;

 private:
  std::shared_ptr<const DeviceImages> images_;
  Process process_;
};

/// Given images noised to given levels with the noise of given streams: the states of probes and of held-out losses.
/// key names the noise; indices and t have one entry a state. Returns (N, H, W, C).
Tensor noised_images(const DeviceImages& images, const Process& process, std::span<const std::int64_t> indices,
                     std::span<const double> t, const RandomKey& key, std::span<const std::int64_t> samples);

}  // namespace tweedie
