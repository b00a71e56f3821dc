#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace tweedie::experiments {

/// Shows how far long work is, on stderr: on a terminal one line that redraws itself, with rate and time left;
/// elsewhere a plain line every few seconds. Stages nest. Used from one thread; silent at log level quiet.
///
///   Progress progress;
///   Progress::Stage training(progress, "train unet-s", steps);
///   for (...) { ...; training.advance(1, fmt::format("loss {:.4f}", loss)); }
class Progress {
 public:
  struct Settings {
    std::FILE* out = stderr;
    bool terminal = false;
    int width = 0;                       // columns; 0 asks the terminal
    double plain_interval = 5;           // seconds between lines elsewhere
    double redraw_interval = 0.1;        // seconds between redraws on a terminal
    std::function<double()> clock = {};  // seconds; the steady clock if empty
  };
  /// On stderr, a terminal or not as it is.
  Progress();
  explicit Progress(Settings settings);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// One piece of work of `total` units (0: unknown), `done` of which an earlier run did. Ends with its scope; if it
  /// was the outermost or took long, a line then says how long it took, unless an exception is on its way.
  class Stage {
   public:
    Stage(Progress& progress, std::string name, std::int64_t total = 0, std::int64_t done = 0);
    ~Stage();
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;
    void advance(std::int64_t units = 1, std::string note = {});
    std::int64_t done() const { return done_; }

   private:
    friend class Progress;
    Progress& progress_;
    std::string name_;
    std::int64_t total_, done_, first_;
    double start_;
    int exceptions_;
    std::string note_;
  };

  /// Removes the line that a terminal shows at the moment, so that another may be printed; it is redrawn later.
  static void clear_line();

 private:
  void update();
  std::string line(double now) const;
  std::string bar(const Stage& stage) const;
  int columns() const;

  Settings settings_;
  std::vector<Stage*> stages_;
  double last_;
};

}  // namespace tweedie::experiments
