#include "nn/time_embedding.h"

#include <cmath>

#include "autograd/ops/embedding.h"

namespace tweedie {

TimeProjection::TimeProjection(const Scope& scope, const TimeProjectionOptions& options)
    : Module(scope.device), options_(options) {
  require(options.channels > 0, "{}: a time embedding of {} channels; it must have some", scope.path, options.channels);
  switch (options.kind) {
    case TimeEmbeddingKind::sinusoidal:
      // The lowest frequency is max_period^-((half - 1) / (half - shift)): half must exceed the shift.
      require(static_cast<double>(options.channels / 2) > options.frequency_shift,
              "{}: {} channels are too few for a sinusoidal embedding with frequency shift {}", scope.path,
              options.channels, options.frequency_shift);
      break;
    case TimeEmbeddingKind::fourier:
      weight_ =
          register_parameter("weight", initial_normal(scope, "weight", {options.channels}, options.frequency_scale),
                             ParameterLayout::plain, /*trained=*/false);
      break;
    case TimeEmbeddingKind::learned:
      require(options.table_entries > 0, "{}: a learned time embedding needs num_train_timesteps above 0", scope.path);
      weight_ =
          register_parameter("weight", initial_normal(scope, "weight", {options.table_entries, options.channels}, 1.0));
      break;
  }
}

Tensor TimeProjection::operator()(const Tensor& t) const {
  switch (options_.kind) {
    case TimeEmbeddingKind::sinusoidal:
      return sinusoidal_embedding(t, options_.channels,
                                  {.cos_first = options_.cos_first, .frequency_shift = options_.frequency_shift});
    case TimeEmbeddingKind::fourier:
      return fourier_embedding(t, weight_, /*take_log=*/true, /*cos_first=*/false);
    case TimeEmbeddingKind::learned:
      return embedding(weight_, whole_numbers(t, "timesteps of a learned time embedding"));
  }
  fail("time projection: unknown kind {}", static_cast<int>(options_.kind));
}

std::int64_t TimeProjection::out_channels() const {
  return options_.kind == TimeEmbeddingKind::fourier ? 2 * options_.channels : options_.channels;
}

EmbeddingMlp::EmbeddingMlp(const Scope& scope, std::int64_t in, std::int64_t out)
    : Module(scope.device),
      linear_1_(register_module("linear_1", std::make_unique<Linear>(scope.in("linear_1"), in, out))),
      linear_2_(register_module("linear_2", std::make_unique<Linear>(scope.in("linear_2"), out, out))) {}

Tensor EmbeddingMlp::operator()(const Tensor& x) const {
  return linear_2_(linear_1_.activated(x, ActivationKind::silu));
}

Tensor whole_numbers(const Tensor& x, std::string_view what) {
  if (x.dtype() == DType::int64) return x;
  const std::vector<double> values = x.to_host_double();
  std::vector<std::int64_t> whole(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    require(std::nearbyint(values[i]) == values[i], "{}: {} is not a whole number", what, values[i]);
    whole[i] = static_cast<std::int64_t>(values[i]);
  }
  return Tensor::from_host(std::span<const std::int64_t>(whole), x.shape(), x.device());
}

Tensor floating_values(const Tensor& x) {
  if (x.dtype() != DType::int64) return x;
  const std::vector<std::int64_t> values = x.to_host_integers();
  const std::vector<double> floating(values.begin(), values.end());
  return Tensor::from_host(std::span<const double>(floating), x.shape(), x.device());
}

}  // namespace tweedie
