#include "experiments/common/config_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "kernels/runtime/error.h"

namespace tweedie::experiments {
namespace {

std::string text_of(const nlohmann::ordered_json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

bool is_scalar(const nlohmann::ordered_json& value) {
  return value.is_string() || value.is_number() || value.is_boolean();
}

}  // namespace

std::vector<CLI::ConfigItem> JsonConfig::from_config(std::istream& input) const {
  const std::string file = app_->get_config_ptr()->as<std::string>();
  nlohmann::ordered_json document;
  try {
    document = nlohmann::ordered_json::parse(input);
  } catch (const nlohmann::json::parse_error& error) {
    throw UsageError(fmt::format("--config {}: not JSON (at byte {})", file, error.byte));
  }
  if (document.is_object() && document.contains("program") && document.contains("options")) {
    document = nlohmann::ordered_json(document.at("options"));
  }
  if (!document.is_object()) throw UsageError(fmt::format("--config {}: expected a JSON object of options", file));

  std::vector<CLI::ConfigItem> items;
  for (const auto& [key, value] : document.items()) {
    const std::string flag = "--" + key;
    const CLI::Option* option = app_->get_option_no_throw(flag);
    if (option == nullptr || !option->get_configurable()) {
      const std::string near = nearest_word(flag, option_names(*app_));
      throw UsageError(fmt::format("--config {}: unknown key '{}'{}", file, key,
                                   near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near.substr(2))));
    }
    if (value.is_null()) continue;
    CLI::ConfigItem item;
    item.name = key;
    if (value.is_array()) {
      for (const auto& element : value) {
        if (!is_scalar(element)) throw UsageError(fmt::format("--config {}: key '{}': nested value", file, key));
        item.inputs.push_back(text_of(element));
      }
      if (item.inputs.empty()) continue;
    } else if (is_scalar(value)) {
      item.inputs.push_back(text_of(value));
    } else {
      throw UsageError(
          fmt::format("--config {}: key '{}': expected a number, string, boolean or array of these", file, key));
    }
    items.push_back(std::move(item));
  }
  return items;
}

std::string nearest_word(const std::string& word, const std::vector<std::string>& candidates) {
  // Optimal string alignment distance, three rows at a time.
  const auto distance = [&word](const std::string& other) {
    std::vector<std::size_t> before(other.size() + 1), previous(other.size() + 1), row(other.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= word.size(); ++i) {
      before = std::exchange(previous, row);
      row[0] = i;
      for (std::size_t j = 1; j <= other.size(); ++j) {
        const bool same = word[i - 1] == other[j - 1];
        row[j] = std::min({previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (same ? 0 : 1)});
        if (i > 1 && j > 1 && word[i - 1] == other[j - 2] && word[i - 2] == other[j - 1]) {
          row[j] = std::min(row[j], before[j - 2] + 1);
        }
      }
    }
    return row.back();
  };
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    // A flag cut short ("--res" for "--resolution") is near, whatever its length.
    const bool cut_short = word.size() > 3 && candidate.rfind(word, 0) == 0;
    const std::size_t d = cut_short ? 1 : distance(candidate);
    if (d < best_distance) best = candidate, best_distance = d;
  }
  return best;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

}  // namespace tweedie::experiments
