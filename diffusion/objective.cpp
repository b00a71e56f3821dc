#include "diffusion/objective.h"

namespace tweedie {

Objective::Objective(std::shared_ptr<const InputSource> source, std::shared_ptr<const Target> target,
                     std::shared_ptr<const Weighting> weighting, std::shared_ptr<const NoiseLevels> levels)
    : source_(std::move(source)),
      target_(std::move(target)),
      weighting_(std::move(weighting)),
      levels_(std::move(levels)) {
  require(source_ && target_ && weighting_ && levels_,
          "objective: source, target, weighting and levels are all needed");
  const DrawFields missing = target_->needs().without(source_->provides());
  require(source_->provides().contains(target_->needs()), "objective: the target '{}' needs {} which {} cannot supply",
          target_->name(), missing.to_string(), source_->describe());
}

Objective::Batch Objective::batch(std::uint64_t seed, std::uint32_t step, std::int64_t first, std::int64_t count,
                                  const Parameterisation& parameterisation, bool held_out) const {
  const Process& process = source_->process();
  // A held-out batch keeps its levels and noise over training, so that its loss is comparable from step to step.
  const RandomKey level_key{seed, held_out ? Purpose::held_out_noise : Purpose::noise_level, step};
  constexpr std::uint32_t level_position = 0xfffffff0u;  // apart from the positions that noise of the same key uses
  DrawRequest request{.seed = seed,
                      .step = step,
                      .held_out = held_out,
                      .first = first,
                      .t = {},
                      .fields = target_->needs(),
                      .coefficients = {}};
  Batch batch;
  for (std::int64_t i = 0; i < count; ++i) {
    const double t = levels_->t_at(uniform(level_key, static_cast<std::uint32_t>(first + i), level_position));
    request.t.push_back(t);
    batch.weights.push_back(weighting_->weight(process, t, parameterisation));
    if (request.fields.contains(DrawFields::conditional_target))
      request.coefficients.push_back(target_coefficients(process, t, parameterisation));
  }
  batch.draw = source_->draw(request);
  batch.draw.target_key = {seed, held_out ? Purpose::held_out_target : Purpose::target_choice, step};
  batch.target = target_->target(batch.draw, process, parameterisation);
  batch.weight = Tensor::from_host(std::span<const double>(batch.weights), {count}, batch.draw.z.device());
  return batch;
}

Objective Objective::denoising(std::shared_ptr<const InputSource> source) const {
  return Objective(std::move(source), std::make_shared<ConditionalTarget>(), weighting_, levels_);
}

std::string Objective::describe() const {
  return fmt::format("{}; target {}, weight {}, levels {}", source_->describe(), target_->name(), weighting_->name(),
                     levels_->name());
}

}  // namespace tweedie
