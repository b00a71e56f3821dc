#include "experiments/common/command_line.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "experiments/common/build_info.h"
#include "experiments/common/config_file.h"
#include "kernels/runtime/error.h"

namespace tweedie::experiments {
namespace {

std::string shell_quote(const std::string& word) {
  static constexpr const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./:,@%^";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// CLI11 appends what an option checks: "N:INT in [1 - 10]".
bool is_count(const std::string& type) {
  return type == "N" || type.rfind("N:", 0) == 0 || type.rfind("N,", 0) == 0;
}

// Numbers as numbers; what an option takes as text (TEXT, NAME ...) stays text.
nlohmann::ordered_json typed_value(const std::string& type, const std::string& text) {
  char* end = nullptr;
  if (text.empty()) return text;
  if (type.rfind("UINT", 0) == 0) {
    if (const auto value = std::strtoull(text.c_str(), &end, 0); *end == '\0') return value;
  } else if (type.rfind("INT", 0) == 0 || is_count(type)) {
    if (const auto value = std::strtoll(text.c_str(), &end, 0); *end == '\0') return value;
  } else if (type.rfind("FLOAT", 0) == 0) {
    if (const double value = std::strtod(text.c_str(), &end); *end == '\0') return value;
  }
  return text;
}

// CLI11 keeps the default of a vector as the text "[a,b]".
std::vector<std::string> split_default(const std::string& text) {
  if (text.size() < 2 || text.front() != '[')
    return text.empty() ? std::vector<std::string>{} : CLI::detail::split(text, ',');
  const std::string inside = text.substr(1, text.size() - 2);
  return inside.empty() ? std::vector<std::string>{} : CLI::detail::split(inside, ',');
}

nlohmann::ordered_json value_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  if (option.get_items_expected_max() == 0) {  // a flag
    return option.count() > 0 ? option.as<bool>() : option.get_default_str() == "true";
  }
  if (option.get_items_expected_max() > 1) {
    nlohmann::ordered_json array = nlohmann::ordered_json::array();
    for (const std::string& text :
         option.count() > 0 ? option.reduced_results() : split_default(option.get_default_str())) {
      array.push_back(typed_value(type, text));
    }
    return array;
  }
  return typed_value(type, option.count() > 0 ? option.as<std::string>() : option.get_default_str());
}

// CLI11 takes -1 for 2^64 - 1, and "nan" for a number.
void require_sane_numbers(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  for (const std::string& text : option.results()) {
    if (type.rfind("UINT", 0) == 0 && text.rfind('-', 0) == 0) {
      throw UsageError(fmt::format("{}: got {}, expected a number from 0", option.get_name(), text));
    }
    if (type.rfind("FLOAT", 0) == 0 && !std::isfinite(std::strtod(text.c_str(), nullptr))) {
      throw UsageError(fmt::format("{}: got {}, expected a finite number", option.get_name(), text));
    }
  }
}

}  // namespace

CommandLine::CommandLine(Program program)
    : program_(std::move(program)), app_(std::make_unique<CLI::App>(program_.description, program_.name)) {
  app_->option_defaults()->always_capture_default();
  app_->set_help_flag("-h,--help", "Show this help and exit");
  app_->set_version_flag("--version", fmt::format("{} {} (revision {})", program_.name, version(), git_revision()),
                         "Show version and source revision and exit");
  app_->config_formatter(std::make_shared<JsonConfig>(app_.get()));
  app_->set_config("--config", "", "JSON file whose keys are option names; the command line overrides it")
      ->type_name("FILE")
      ->configurable(false);
  app_->allow_config_extras(CLI::config_extras_mode::error);
  app_->get_formatter()->column_width(34);
  std::string footer = program_.examples.empty() ? "" : "Examples:";
  for (const Example& example : program_.examples) {
    footer += fmt::format("\n  {}\n      {}", example.command, example.explanation);
  }
  app_->footer(footer);
}

CommandLine::~CommandLine() = default;

bool CommandLine::parse(int argc, const char* const* argv) {
  command_.clear();
  for (int i = 0; i < argc; ++i) command_ += (i ? " " : "") + shell_quote(argv[i]);
  try {
    app_->parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app_->help();
    return false;
  } catch (const CLI::CallForVersion& version) {
    std::cout << version.what() << '\n';
    return false;
  } catch (const CLI::ParseError& error) {
    // An unknown argument explains the other complaints (a required option that was misspelt).
    if (const std::vector<std::string> extras = app_->remaining(); !extras.empty()) {
      throw UsageError(unknown_argument(extras.front()));
    }
    if (dynamic_cast<const CLI::FileError*>(&error) != nullptr) {
      throw UsageError(fmt::format("--config {}: cannot be read", app_->get_config_ptr()->as<std::string>()));
    }
    throw UsageError(error.what());
  }
  for (const CLI::Option* option : static_cast<const CLI::App&>(*app_).get_options()) require_sane_numbers(*option);
  return true;
}

void CommandLine::set(const std::string& name, const std::string& value) {
  CLI::Option* option = app_->get_option_no_throw("--" + name);
  if (option == nullptr || !option->get_configurable()) {
    const std::string near = nearest_word("--" + name, option_names(*app_));
    throw UsageError(fmt::format("no option --{} can be set{}", name,
                                 near.empty() ? "" : fmt::format(" (did you mean {}?)", near.substr(2))));
  }
  try {
    option->clear();
    option->add_result(value);
    option->run_callback();
  } catch (const CLI::ParseError& error) {
    throw UsageError(error.what());
  }
  require_sane_numbers(*option);
}

std::string CommandLine::unknown_argument(const std::string& argument) const {
  if (argument.rfind('-', 0) != 0) return fmt::format("unexpected argument '{}'", argument);
  const std::string flag = argument.substr(0, argument.find('='));
  const std::string near = nearest_word(flag, option_names(*app_));
  return fmt::format("unknown flag '{}'{}", flag, near.empty() ? "" : fmt::format(" (did you mean {}?)", near));
}

nlohmann::ordered_json CommandLine::options() const {
  nlohmann::ordered_json values = nlohmann::ordered_json::object();
  for (const CLI::Option* option : static_cast<const CLI::App&>(*app_).get_options()) {
    if (option->get_configurable() && !option->get_lnames().empty()) {
      values[option->get_lnames().front()] = value_of(*option);
    }
  }
  return values;
}

}  // namespace tweedie::experiments
