#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "kernels/runtime/stream.h"

namespace tweedie {

/// Which of two implementations of an operation is the faster for a shape, measured once and kept in a JSON file, so
/// that later runs choose alike:
///   {"NVIDIA H100 80GB HBM3, cuBLASLt 130002": {
///      "matmul float32 b=1 m=128 n=128 k=32 NT bias": {"choice": "library", "native_ms": 0.0069, "library_ms":
///      0.0051}}}
/// A "choice" may be edited by hand; a shape (or the file) that is taken out is measured again.
class Autotuner {
 public:
  /// Reads the file at the first question. Throws Error then where it is not what an Autotuner wrote.
  explicit Autotuner(std::filesystem::path file) : file_(std::move(file)) {}
  const std::filesystem::path& file() const { return file_; }

  /// Two ways to the same result. They are run several times, so they must not add to what they wrote before.
  struct Candidates {
    std::function<void()> native, library;
  };
  /// Whether `library` is the faster on `card` for what `key` names: from the file, else measured by `make`'s
  /// candidates on the stream and then written to the file (atomically; other programs' entries stay). A library that
  /// throws Error is not chosen, and the file says why. Throws Error where the file cannot be written.
  bool library_is_faster(Stream& stream, const std::string& card, const std::string& key,
                         const std::function<Candidates()>& make);
  /// What the file says; native where it says nothing. Measures nothing: for calls inside the capture of a graph.
  bool library_is_recorded(const std::string& card, const std::string& key);

 private:
  struct Entry {
    bool library = false;
    double native_seconds = 0.0, library_seconds = 0.0;  // the latter 0 where it failed
    std::string problem;
  };
  using Entries = std::map<std::pair<std::string, std::string>, Entry>;
  Entries read() const;
  void write(const Entries& entries) const;
  const Entry* recorded(const std::string& card, const std::string& key);

  std::filesystem::path file_;
  bool loaded_ = false;
  Entries entries_;
};

/// The program's autotuner. Its file is TWEEDIE_AUTOTUNE_FILE, else autotune.json in the folder tweedie of
/// XDG_CACHE_HOME or of ~/.cache.
Autotuner& autotuner();

}  // namespace tweedie
