#include "diffusion/input_source.h"

#include "kernels/noising/noising.h"

namespace tweedie {
namespace {

Tensor device_vector(const std::vector<double>& values, Device device) {
  return Tensor::from_host(std::span<const double>(values), {static_cast<std::int64_t>(values.size())}, device);
}

Tensor device_vector(const std::vector<std::int64_t>& values, Device device) {
  return Tensor::from_host(std::span<const std::int64_t>(values), {static_cast<std::int64_t>(values.size())}, device);
}

struct Levels {
  std::vector<double> alpha, sigma;
};

Levels levels_at(const Process& process, std::span<const double> t) {
  Levels levels;
  for (const double time : t) {
    levels.alpha.push_back(process.alpha(time));
    levels.sigma.push_back(process.sigma(time));
  }
  return levels;
}

}  // namespace

std::string DrawFields::to_string() const {
  static constexpr std::pair<unsigned, const char*> names[] = {
      {clean, "clean image"}, {noise, "noise"}, {conditional_target, "conditional target"}, {source, "source image"}};
  std::string text;
  for (const auto& [field, name] : names)
    if (contains(field)) text += (text.empty() ? "" : ", ") + std::string(name);
  return text.empty() ? "nothing" : text;
}

NoisedData::NoisedData(std::shared_ptr<const DeviceImages> images, Process process)
    : images_(std::move(images)), process_(std::move(process)) {
  require(images_ != nullptr && images_->count() > 0, "noised data: the data set is empty");
}

std::string NoisedData::describe() const {
  return fmt::format("{} images noised by the {} process", images_->count(), process_.name());
}

Draw NoisedData::draw(const DrawRequest& request) const {
  const auto count = static_cast<std::int64_t>(request.t.size());
  const Device device = images_->pixels.device();
  const RandomKey choice{request.seed, request.held_out ? Purpose::held_out_noise : Purpose::choose_sample,
                         request.step};
  Draw draw;
  draw.t_told = request.t;
  draw.t_state = request.t;
  std::vector<std::int64_t> samples;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t sample = request.first + i;
    samples.push_back(sample);
    draw.source.push_back(uniform_integer(choice, static_cast<std::uint32_t>(sample), images_->count(), 1u << 30));
  }
  draw.samples = device_vector(samples, device);
  if (!images_->labels.empty()) {
    std::vector<std::int64_t> labels;
    for (const std::int64_t index : draw.source) labels.push_back(images_->labels[static_cast<std::size_t>(index)]);
    draw.labels = device_vector(labels, device);
    draw.classes = std::move(labels);
  }

  const Shape pictures{count, images_->height, images_->width, images_->channels};
  const Shape rows{count, images_->dimensions()};
  const Levels levels = levels_at(process_, request.t);
  const Tensor indices = device_vector(draw.source, device), alpha = device_vector(levels.alpha, device),
               sigma = device_vector(levels.sigma, device);
  draw.z = Tensor::empty(pictures, device);
  if (request.fields.contains(DrawFields::clean)) draw.clean = Tensor::empty(pictures, device);
  if (request.fields.contains(DrawFields::noise)) draw.noise = Tensor::empty(pictures, device);
  Tensor target_clean, target_noise;
  if (request.fields.contains(DrawFields::conditional_target)) {
    require(request.coefficients.size() == request.t.size(), "noised data: {} target coefficients for {} draws",
            request.coefficients.size(), request.t.size());
    std::vector<double> clean, noise;
    for (const Coefficients& c : request.coefficients) {
      clean.push_back(c.x);
      noise.push_back(c.e);
    }
    target_clean = device_vector(clean, device);
    target_noise = device_vector(noise, device);
    draw.conditional_target = Tensor::empty(pictures, device);
  }
  noise_images(draw.z.stream(),
               {.images = images_->pixels.array(),
                .indices = indices.array(),
                .samples = draw.samples.array(),
                .alpha = alpha.array(),
                .sigma = sigma.array(),
                .target_clean = target_clean.array(),
                .target_noise = target_noise.array(),
                .z = draw.z.array(rows),
                .target = draw.conditional_target.array(rows),
                .clean = draw.clean.array(rows),
                .noise = draw.noise.array(rows),
                .key = {request.seed, request.held_out ? Purpose::held_out_noise : Purpose::noise, request.step}});
  return draw;
}

Tensor noised_images(const DeviceImages& images, const Process& process, std::span<const std::int64_t> indices,
                     std::span<const double> t, const RandomKey& key, std::span<const std::int64_t> samples) {
  require(indices.size() == t.size() && samples.size() == t.size(),
          "noised images: {} indices, {} noise levels and {} streams must be equally many", indices.size(), t.size(),
          samples.size());
  const auto count = static_cast<std::int64_t>(t.size());
  const Device device = images.pixels.device();
  const Levels levels = levels_at(process, t);
  const Tensor index = Tensor::from_host(indices, {count}, device),
               stream = Tensor::from_host(samples, {count}, device), alpha = device_vector(levels.alpha, device),
               sigma = device_vector(levels.sigma, device);
  Tensor z = Tensor::empty({count, images.height, images.width, images.channels}, device);
  noise_images(z.stream(), {.images = images.pixels.array(),
                            .indices = index.array(),
                            .samples = stream.array(),
                            .alpha = alpha.array(),
                            .sigma = sigma.array(),
                            .target_clean = {},
                            .target_noise = {},
                            .z = z.array({count, images.dimensions()}),
                            .target = {},
                            .clean = {},
                            .noise = {},
                            .key = key});
  return z;
}

}  // namespace tweedie
