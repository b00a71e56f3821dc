#include <nlohmann/json.hpp>

#include "diffusion/checkpoint.h"
#include "diffusion/trainer.h"
#include "nn/checkpoint.h"
#include "nn/io/file.h"

namespace tweedie {
namespace {

constexpr const char* optimizer_file = "optimizer.safetensors";
constexpr const char* alignment_file = "alignment.safetensors";
constexpr const char* trainer_file = "trainer.json";

/// The averages are stored with the model; the moments in a file of their own.
std::vector<Parameter> moments(const Optimizer& optimizer) {
  std::vector<Parameter> state = optimizer.state();
  std::erase_if(state, [](const Parameter& parameter) { return parameter.name.starts_with("average."); });
  return state;
}

/// The options that must agree for a continuation to equal an unbroken run.
nlohmann::ordered_json fingerprint(const TrainerOptions& options, const Objective& objective) {
  const Optimizer::Options& o = options.optimizer;
  nlohmann::ordered_json json;
  json["objective"] = objective.describe();
  json["batch"] = options.batch;
  json["seed"] = options.seed;
  json["learning_rate"] = o.learning_rate.base;
  json["warmup"] = o.learning_rate.warmup;
  json["schedule"] = name_of(o.learning_rate.schedule);
  json["schedule_total"] = o.learning_rate.total;
  json["beta1"] = o.beta1;
  json["beta2"] = o.beta2;
  json["epsilon"] = o.epsilon;
  json["weight_decay"] = o.weight_decay;
  json["clip_norm"] = o.clip_norm;
  json["average_decay"] = o.average_decay;
  json["log_every"] = options.log_every;
  return json;
}

}  // namespace

void Trainer::save(const std::filesystem::path& folder, const CheckpointInfo& images) const {
  const std::filesystem::path building = folder.string() + ".partial";
  std::filesystem::remove_all(building);
  try {
    write_state(building, images);
    std::filesystem::remove_all(folder);
    std::filesystem::rename(building, folder);
    io::sync_entry(folder);
  } catch (...) {  // a full disk: what was written so far is of no use, and its room is
    std::error_code ignored;
    std::filesystem::remove_all(building, ignored);
    throw;
  }
}

void Trainer::write_state(const std::filesystem::path& folder, const CheckpointInfo& images) const {
  std::filesystem::create_directories(folder);
  CheckpointInfo info = images;
  info.step = optimizer_.steps_done();
  save_checkpoint(folder, model_, average(), info);
  write_parameters(folder / optimizer_file, moments(optimizer_));
  if (alignment_) write_parameters(folder / alignment_file, alignment_->parameters());

  nlohmann::ordered_json json;
  json["step"] = optimizer_.steps_done();
  json["flops"] = flops_;
  json["options"] = fingerprint(options_, objective_);
  if (alignment_) json["options"]["alignment"] = alignment_->describe();
  json["last"] = {{"learning_rate", last_.learning_rate}, {"gradient_norm", last_.gradient_norm}};
  json["statistics"] = nlohmann::ordered_json::array();
  for (const LevelStatistics::Bin& bin : statistics_.bins())
    json["statistics"].push_back({bin.count, bin.sum, bin.sum_of_squares});
  io::write_file_atomic(folder / trainer_file, json.dump(2) + "\n");
}

void Trainer::restore(const std::filesystem::path& folder) {
  const std::string name = (folder / trainer_file).string();
  nlohmann::ordered_json json;
  try {
    json = nlohmann::ordered_json::parse(io::read_text(folder / trainer_file));
    auto expected = fingerprint(options_, objective_);
    if (alignment_) expected["alignment"] = alignment_->describe();
    for (const auto& [key, value] : expected.items())
      if (json.at("options").at(key) != value)
        throw UsageError(fmt::format("{}: the run to continue had {} = {}, this one has {}", name, key,
                                     json.at("options").at(key).dump(), value.dump()));
    optimizer_.set_steps_done(json.at("step").get<std::int64_t>());
    flops_ = json.at("flops").get<double>();
    last_.learning_rate = json.at("last").at("learning_rate").get<double>();
    last_.gradient_norm = json.at("last").at("gradient_norm").get<double>();
    auto& bins = statistics_.bins();
    require(json.at("statistics").size() == bins.size(), "{}: {} bins of statistics, expected {}", name,
            json.at("statistics").size(), bins.size());
    for (std::size_t i = 0; i < bins.size(); ++i) {
      bins[i].count = json["statistics"][i].at(0).get<std::int64_t>();
      bins[i].sum = json["statistics"][i].at(1).get<double>();
      bins[i].sum_of_squares = json["statistics"][i].at(2).get<double>();
    }
  } catch (const nlohmann::json::exception& error) {
    fail("{}: {}; expected the trainer state that a checkpoint holds", name, error.what());
  }
  read_parameters(folder / weights_file_name(WeightKind::raw), model_.network().parameters());
  read_parameters(folder / weights_file_name(WeightKind::average), average());
  read_parameters(folder / optimizer_file, moments(optimizer_));
  if (alignment_) read_parameters(folder / alignment_file, alignment_->parameters());
}

}  // namespace tweedie
