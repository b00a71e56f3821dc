#include "diffusion/hybrid_score.h"

#include "autograd/ops/shape.h"
#include "diffusion/per_sample.h"

namespace tweedie {
namespace {

/// Row n alone, of z or of labels.
Tensor row_of(const Tensor& rows, std::int64_t n) {
  return rows.defined() ? slice(rows, 0, n, 1) : Tensor();
}

}  // namespace

HybridScore::HybridScore(std::shared_ptr<ScoreModel> first, std::shared_ptr<ScoreModel> second, Choice choice)
    : first_(std::move(first)), second_(std::move(second)), choice_(std::move(choice)) {
  require(first_ && second_ && choice_, "hybrid score: two models and a choice between them are needed");
  require(first_->process() == second_->process(), "hybrid score: one model is of process {}, the other of {}",
          first_->process().json(), second_->process().json());
  require(first_->device() == second_->device(), "hybrid score: the models are on different devices");
}

HybridScore HybridScore::by_time(std::shared_ptr<ScoreModel> first, std::shared_ptr<ScoreModel> second,
                                 double switch_t) {
  return {std::move(first), std::move(second), [switch_t](const Tensor&, std::span<const double> t) {
            std::vector<bool> choice;
            for (const double level : t) choice.push_back(level >= switch_t);
            return choice;
          }};
}

HybridScore HybridScore::by_shell(std::shared_ptr<ScoreModel> first, std::shared_ptr<ScoreModel> second,
                                  std::shared_ptr<const EmpiricalScore> data, double limit) {
  const Process process = first->process();
  return {std::move(first), std::move(second),
          [process, data = std::move(data), limit](const Tensor& z, std::span<const double> t) {
            std::vector<float> alpha, sigma;
            for (const double level : t) {
              alpha.push_back(static_cast<float>(process.alpha(level)));
              // Any sigma does where there is none: the row is not used.
              sigma.push_back(process.sigma(level) > 0.0 ? static_cast<float>(process.sigma(level)) : 1.0F);
            }
            const std::vector<double> r_star = data->evaluate(z.to_host(), alpha, sigma).r_star;
            std::vector<bool> choice;
            for (std::size_t n = 0; n < t.size(); ++n) choice.push_back(process.sigma(t[n]) > 0.0 && r_star[n] > limit);
            return choice;
          }};
}

Tensor HybridScore::predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels) {
  check_batch("hybrid score", z, t);
  const std::vector<bool> choice = choice_(z, t);
  // Runs of rows with one answer; samplers with common times make one of the whole batch.
  std::vector<Tensor> answers;
  for (std::size_t begin = 0; begin < t.size();) {
    std::size_t end = begin + 1;
    while (end < t.size() && choice[end] == choice[begin]) ++end;
    const auto from = static_cast<std::int64_t>(begin), count = static_cast<std::int64_t>(end - begin);
    ScoreModel& model = choice[begin] ? *first_ : *second_;
    answers.push_back(model.predict(slice(z, 0, from, count), t.subspan(begin, end - begin), view,
                                    labels.defined() ? slice(labels, 0, from, count) : Tensor()));
    begin = end;
  }
  return answers.size() == 1 ? answers.front() : concatenate(answers, 0);
}

std::optional<std::vector<double>> HybridScore::denoiser_divergence(const Tensor& z, std::span<const double> t,
                                                                    const Tensor& labels) {
  const std::vector<bool> choice = choice_(z, t);
  std::vector<double> divergence;
  for (std::size_t n = 0; n < t.size(); ++n) {
    const auto row = static_cast<std::int64_t>(n);
    const auto answer =
        (choice[n] ? first_ : second_)->denoiser_divergence(row_of(z, row), t.subspan(n, 1), row_of(labels, row));
    if (!answer) return {};
    divergence.push_back(answer->front());
  }
  return divergence;
}

}  // namespace tweedie
