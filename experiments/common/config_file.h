#pragma once

#include <CLI/App.hpp>
#include <CLI/ConfigFwd.hpp>

#include <istream>
#include <string>
#include <vector>

namespace tweedie::experiments {

/// What `--config FILE` reads: a JSON object whose keys are option names and whose values are numbers, strings, true,
/// false, null (keep the default) or arrays of numbers and strings. The config.json of a run folder, where that object
/// is the member "options", is understood too. Throws UsageError naming the file, and the key where one is wrong.
class JsonConfig final : public CLI::Config {
 public:
  explicit JsonConfig(const CLI::App* app) : app_(app) {}
  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return {}; }
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;

 private:
  const CLI::App* app_;
};

/// The candidate nearest to `word` in edit distance (a swap of neighbours counts once), "" where none is near.
std::string nearest_word(const std::string& word, const std::vector<std::string>& candidates);

/// The long names of the options of `app`, with their dashes, in order of declaration.
std::vector<std::string> option_names(const CLI::App& app);

}  // namespace tweedie::experiments
