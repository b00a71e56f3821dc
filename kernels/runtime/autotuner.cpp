#include "kernels/runtime/autotuner.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/runtime/device_timer.h"
#include "kernels/runtime/error.h"

namespace tweedie {
namespace {

using nlohmann::ordered_json;
constexpr int repetitions = 7;

/// Writes beside the file, syncs and renames, so that nobody reads half of it.
void replace_file(const std::filesystem::path& file, const std::string& text) {
  std::error_code error;
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path(), error);
  const std::string beside = fmt::format("{}.{}.partial", file.string(), ::getpid());
  const auto refuse = [&](int number) {
    ::unlink(beside.c_str());
    fail("{}: the autotuner's choices cannot be written: {}; TWEEDIE_AUTOTUNE_FILE names another file", file.string(),
         std::strerror(number));
  };
  const int descriptor = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) refuse(errno);
  std::size_t at = 0;
  while (at < text.size()) {
    const ssize_t count = ::write(descriptor, text.data() + at, text.size() - at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int number = errno;
      ::close(descriptor);
      refuse(number);
    }
    at += static_cast<std::size_t>(count);
  }
  const bool synced = ::fsync(descriptor) == 0;
  const int number = errno;
  ::close(descriptor);
  if (!synced) refuse(number);
  if (::rename(beside.c_str(), file.c_str()) != 0) refuse(errno);
}

double median_of(std::vector<double>& times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

/// Milliseconds with four significant digits.
double milliseconds(double seconds) {
  return std::strtod(fmt::format("{:.4g}", 1e3 * seconds).c_str(), nullptr);
}

}  // namespace

Autotuner::Entries Autotuner::read() const {
  Entries entries;
  std::ifstream in(file_);
  if (!in) {
    require(!std::filesystem::exists(file_), "{}: the autotuner's choices cannot be read", file_.string());
    return entries;
  }
  try {
    const ordered_json cards = ordered_json::parse(in);
    require(cards.is_object(), "expected an object");
    for (const auto& [card, choices] : cards.items())
      for (const auto& [key, value] : choices.items()) {
        Entry entry;
        const auto choice = value.at("choice").get<std::string>();
        require(choice == "library" || choice == "native", "the choice of '{}' is '{}', expected native or library",
                key, choice);
        entry.library = choice == "library";
        entry.native_seconds = 1e-3 * value.at("native_ms").get<double>();
        if (value.contains("library_ms"))
          entry.library_seconds = 1e-3 * value.at("library_ms").get<double>();
        else
          entry.problem = value.at("library_failed").get<std::string>();
        entries[{card, key}] = entry;
      }
  } catch (const std::exception& error) {
    fail("{}: not a file of the autotuner's choices ({}); delete it, and it is measured anew", file_.string(),
         error.what());
  }
  return entries;
}

void Autotuner::write(const Entries& entries) const {
  ordered_json cards = ordered_json::object();
  for (const auto& [name, entry] : entries) {
    ordered_json& value = cards[name.first][name.second];
    value["choice"] = entry.library ? "library" : "native";
    value["native_ms"] = milliseconds(entry.native_seconds);
    if (entry.problem.empty())
      value["library_ms"] = milliseconds(entry.library_seconds);
    else
      value["library_failed"] = entry.problem;
  }
  replace_file(file_, cards.dump(1) + "\n");
}

const Autotuner::Entry* Autotuner::recorded(const std::string& card, const std::string& key) {
  if (!loaded_) entries_ = read();
  loaded_ = true;
  const auto found = entries_.find({card, key});
  return found == entries_.end() ? nullptr : &found->second;
}

bool Autotuner::library_is_recorded(const std::string& card, const std::string& key) {
  const Entry* entry = recorded(card, key);
  return entry != nullptr && entry->library;
}

bool Autotuner::library_is_faster(Stream& stream, const std::string& card, const std::string& key,
                                  const std::function<Candidates()>& make) {
  if (const Entry* entry = recorded(card, key); entry != nullptr) return entry->library;
  const Candidates candidates = make();
  Entry entry;
  candidates.native();
  try {
    candidates.library();
  } catch (const Error& error) {
    entry.problem = error.what();
  }
  // In turn, so that a clock that changes meets both.
  std::vector<double> native, library;
  for (int i = 0; i < repetitions; ++i) {
    native.push_back(seconds_on_device(stream, candidates.native));
    if (entry.problem.empty()) library.push_back(seconds_on_device(stream, candidates.library));
  }
  entry.native_seconds = median_of(native);
  if (entry.problem.empty()) {
    entry.library_seconds = median_of(library);
    entry.library = entry.library_seconds < entry.native_seconds;
  }
  entries_[{card, key}] = entry;
  Entries merged = read();  // what another program has added meanwhile stays; what this one knows it goes on using
  for (const auto& [name, known] : entries_) merged[name] = known;
  write(merged);
  return entry.library;
}

Autotuner& autotuner() {
  static Autotuner tuner = [] {
    const auto variable = [](const char* name) {
      const char* value = std::getenv(name);
      return std::filesystem::path(value == nullptr ? "" : value);
    };
    if (const auto file = variable("TWEEDIE_AUTOTUNE_FILE"); !file.empty()) return Autotuner(file);
    if (const auto cache = variable("XDG_CACHE_HOME"); !cache.empty())
      return Autotuner(cache / "tweedie" / "autotune.json");
    if (const auto home = variable("HOME"); !home.empty())
      return Autotuner(home / ".cache" / "tweedie" / "autotune.json");
    throw UsageError("the autotuner needs a file for its choices: set TWEEDIE_AUTOTUNE_FILE (HOME is not set)");
  }();
  return tuner;
}

}  // namespace tweedie
