#pragma once

#include <nlohmann/json_fwd.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace tweedie::experiments {

/// A command that --help shows, and what it does.
struct Example {
  std::string command;
  std::string explanation;
};

struct Program {
  std::string name;
  std::string description = {};
  std::vector<Example> examples = {};
  bool stops_when_asked = true;  // polls stop_requested(); false: a signal ends the program at once
};

/// The options of one program: CLI11 underneath, plus `--config FILE` (JSON whose keys are option names; the command
/// line wins), `--version`, and messages of one line that suggest the flag which was meant.
class CommandLine {
 public:
  explicit CommandLine(Program program);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  /// Declare options here: app().add_option("--steps", steps, "..."). Defaults are shown by --help and recorded.
  CLI::App& app() { return *app_; }
  const Program& program() const { return program_; }

  /// Fills the variables of the options. Returns false where --help or --version was asked for: its text is then on
  /// stdout and the program is done. Throws UsageError, with one line that names the option or the file.
  bool parse(int argc, const char* const* argv);

  /// Option names (without dashes) to the values in force, in order of declaration; what a --config file may hold.
  /// Leaves out what does not describe the computation (--config, --resume, --overwrite, --dry-run, --help, --version).
  nlohmann::ordered_json options() const;
  /// Sets an option (its name without dashes) as if the command line had given this value. Throws UsageError, with one
  /// line, where there is no such option or it does not take the value.
  void set(const std::string& name, const std::string& value);

  /// The command as it was typed, quoted for a shell.
  std::string command() const { return command_; }

 private:
  std::string unknown_argument(const std::string& argument) const;

  Program program_;
  std::unique_ptr<CLI::App> app_;
  std::string command_;
};

/// What every main() is made of. `setup` declares options, `body` runs with them parsed. Returns the exit status:
/// 0; 2 for a UsageError or a bad command line, 1 for any other exception, 128 + signal for Interrupted, each with one
/// line on stderr. SIGINT and SIGTERM are handled as signals.h says.
int run_program(int argc, const char* const* argv, const Program& program,
                const std::function<void(CommandLine&)>& setup, const std::function<void(CommandLine&)>& body);

}  // namespace tweedie::experiments
