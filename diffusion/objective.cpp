#include "diffusion/objective.h"

namespace tweedie {
namespace {

void drop_labels(Draw& draw, const LabelDrop& drop, const RandomKey& key, std::int64_t first) {
  draw.null_label = drop.null_label;
  // Where the host knows them the device is not read, so that a step can be captured as a graph.
  std::vector<std::int64_t> labels = draw.classes.empty() ? draw.labels.to_host_integers() : draw.classes;
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (uniform(key, static_cast<std::uint32_t>(first + static_cast<std::int64_t>(i))) < drop.probability)
      labels[i] = drop.null_label;
  draw.labels = Tensor::from_host(std::span<const std::int64_t>(labels), draw.labels.shape(), draw.labels.device());
}

}  // namespace

Objective::Objective(std::shared_ptr<const InputSource> source, std::shared_ptr<const Target> target,
                     std::shared_ptr<const Weighting> weighting, std::shared_ptr<const NoiseLevels> levels,
                     const LabelDrop& label_drop)
    : source_(std::move(source)),
      target_(std::move(target)),
      weighting_(std::move(weighting)),
      levels_(std::move(levels)),
      label_drop_(label_drop) {
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
                      .fields = target_->needs().with(more_),
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
  if (label_drop_.probability > 0.0 && !held_out && batch.draw.labels.defined())
    drop_labels(batch.draw, label_drop_, {seed, Purpose::label_drop, step}, first);
  batch.target = target_->target(batch.draw, process, parameterisation);
  batch.weight = Tensor::from_host(std::span<const double>(batch.weights), {count}, batch.draw.z.device());
  return batch;
}

Objective Objective::denoising(std::shared_ptr<const InputSource> source) const {
  return Objective(std::move(source), std::make_shared<ConditionalTarget>(), weighting_, levels_, label_drop_);
}

void Objective::require_fields(DrawFields fields, std::string_view who) {
  require(source_->provides().contains(fields), "objective: {} needs {} which {} cannot supply", who,
          fields.without(source_->provides()).to_string(), source_->describe());
  more_ = more_.with(fields);
}

std::string Objective::describe() const {
  std::string text = fmt::format("{}; target {}, weight {}, levels {}", source_->describe(), target_->name(),
                                 weighting_->name(), levels_->name());
  if (label_drop_.probability > 0.0) text += fmt::format(", labels dropped at {}", label_drop_.probability);
  return text;
}

}  // namespace tweedie
