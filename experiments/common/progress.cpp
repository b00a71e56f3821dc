#include "experiments/common/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <limits>

#include <fmt/format.h>

#include "experiments/common/log.h"
#include "experiments/common/resources.h"

namespace tweedie::experiments {
namespace {

std::FILE* line_on = nullptr;  // the terminal that shows a progress line at the moment

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string rate_text(double rate) {
  if (rate >= 100) return fmt::format("{:.0f}/s", rate);
  if (rate >= 1) return fmt::format("{:.1f}/s", rate);
  return fmt::format("{:.1f}/min", rate * 60);
}

}  // namespace

Progress::Progress() : Progress(Settings{.terminal = isatty(STDERR_FILENO) == 1}) {}

Progress::Progress(Settings settings)
    : settings_(std::move(settings)), last_(-std::numeric_limits<double>::infinity()) {
  if (!settings_.clock) settings_.clock = steady_seconds;
  if (!settings_.terminal) last_ = settings_.clock();
}

Progress::~Progress() {
  clear_line();
}

void Progress::clear_line() {
  if (line_on == nullptr) return;
  std::fputs("\r\033[K", line_on);
  std::fflush(line_on);
  line_on = nullptr;
}

int Progress::columns() const {
  if (settings_.width > 0) return settings_.width;
  winsize size{};
  return ioctl(fileno(settings_.out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string Progress::bar(const Stage& stage) const {
  constexpr int width = 20;
  const double part = std::clamp(static_cast<double>(stage.done_) / static_cast<double>(stage.total_), 0.0, 1.0);
  const int full = static_cast<int>(std::floor(part * width));
  return fmt::format("[{}{}]", std::string(full, '#'), std::string(width - full, '.'));
}

std::string Progress::line(double now) const {
  std::string text;
  for (const Stage* stage : stages_) {
    if (stage != stages_.front()) text += " > ";
    text += stage->name_;
    const bool innermost = stage == stages_.back();
    if (innermost && settings_.terminal && stage->total_ > 0) text += " " + bar(*stage);
    if (stage->total_ > 0) {
      text += fmt::format(" {}/{}", stage->done_, stage->total_);
    } else if (stage->done_ > 0) {
      text += fmt::format(" {}", stage->done_);
    }
    if (!innermost) continue;
    if (stage->total_ > 0) text += fmt::format(" ({} %)", 100 * stage->done_ / stage->total_);
    const std::int64_t since = stage->done_ - stage->first_;
    if (const double seconds = now - stage->start_; since > 0 && seconds > 0) {
      const double rate = static_cast<double>(since) / seconds;
      text += ", " + rate_text(rate);
      if (stage->total_ > stage->done_) {
        text += fmt::format(", {} left", human_duration(static_cast<double>(stage->total_ - stage->done_) / rate));
      }
    }
    if (!stage->note_.empty()) text += "; " + stage->note_;
  }
  return text;
}

void Progress::update() {
  if (log_level() == LogLevel::quiet) return;
  const double now = settings_.clock();
  if (now - last_ < (settings_.terminal ? settings_.redraw_interval : settings_.plain_interval)) return;
  last_ = now;
  std::string text = line(now);
  if (settings_.terminal) {
    const auto most = static_cast<std::size_t>(std::max(10, columns() - 1));
    if (text.size() > most) {
      std::size_t end = most;
      while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // whole UTF-8 characters
      text.resize(end);
    }
    std::fputs(fmt::format("\r{}\033[K", text).c_str(), settings_.out);
    line_on = settings_.out;
  } else {
    std::fputs((text + "\n").c_str(), settings_.out);
  }
  std::fflush(settings_.out);
}

Progress::Stage::Stage(Progress& progress, std::string name, std::int64_t total, std::int64_t done)
    : progress_(progress),
      name_(std::move(name)),
      total_(total),
      done_(done),
      first_(done),
      start_(progress.settings_.clock()),
      exceptions_(std::uncaught_exceptions()) {
  progress_.stages_.push_back(this);
  progress_.update();
}

Progress::Stage::~Stage() {
  Progress& progress = progress_;
  progress.stages_.pop_back();
  const double seconds = progress.settings_.clock() - start_;
  const bool outermost = progress.stages_.empty();
  const bool failed = std::uncaught_exceptions() > exceptions_;
  if (outermost) clear_line();
  if (failed || log_level() == LogLevel::quiet || !(outermost || seconds >= progress.settings_.plain_interval)) return;
  clear_line();
  std::string text = name_;
  for (auto stage = progress.stages_.rbegin(); stage != progress.stages_.rend(); ++stage) {
    text = (*stage)->name_ + " > " + text;
  }
  text += done_ > first_ ? fmt::format(": {} in {}", done_ - first_, human_duration(seconds))
                         : fmt::format(": {}", human_duration(seconds));
  if (!note_.empty()) text += "; " + note_;
  std::fputs((text + "\n").c_str(), progress.settings_.out);
  std::fflush(progress.settings_.out);
}

void Progress::Stage::advance(std::int64_t units, std::string note) {
  done_ += units;
  if (!note.empty()) note_ = std::move(note);
  progress_.update();
}

}  // namespace tweedie::experiments
