#include "kernels/runtime/autotuner.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/runtime/error.h"

namespace tweedie {
namespace {

namespace fs = std::filesystem;

class AutotunerTest : public testing::Test {
 protected:
  AutotunerTest() : folder_(fs::temp_directory_path() / ("tweedie-autotuner-" + std::to_string(::getpid()))) {
    fs::remove_all(folder_);
  }
  ~AutotunerTest() override { fs::remove_all(folder_); }
  fs::path file() const { return folder_ / "choices" / "autotune.json"; }
  nlohmann::json contents() const {
    std::ifstream in(file());
    return nlohmann::json::parse(in);
  }
  void write(const std::string& text) const {
    fs::create_directories(file().parent_path());
    std::ofstream(file()) << text;
  }

  /// Candidates that take so many milliseconds, and count how often they were made.
  bool ask(Autotuner& tuner, const std::string& key, int native, int library) {
    const auto busy = [](int milliseconds) {
      const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
      while (std::chrono::steady_clock::now() < end) {
      }
    };
    return tuner.library_is_faster(default_stream({DeviceKind::cpu, 0}), "card", key, [&, busy, native, library] {
      ++made_;
      return Autotuner::Candidates{[=] { busy(native); }, [=] { busy(library); }};
    });
  }

  fs::path folder_;
  int made_ = 0;
};

TEST_F(AutotunerTest, ChoosesTheFasterOnceAndRemembers) {
  Autotuner tuner(file());
  EXPECT_TRUE(ask(tuner, "a", 10, 1));
  EXPECT_FALSE(ask(tuner, "b", 1, 10));
  EXPECT_EQ(made_, 2);
  EXPECT_TRUE(ask(tuner, "a", 1, 10)) << "measured again";
  Autotuner another(file());
  EXPECT_TRUE(ask(another, "a", 1, 10)) << "the file was not read";
  EXPECT_FALSE(ask(another, "b", 10, 1));
  EXPECT_EQ(made_, 2);
  const nlohmann::json choice = contents().at("card").at("a");
  EXPECT_EQ(choice.at("choice"), "library");
  EXPECT_GE(choice.at("native_ms").get<double>(), 10.0);
  EXPECT_GE(choice.at("library_ms").get<double>(), 1.0);
}

TEST_F(AutotunerTest, TakesAChoiceThatWasEdited) {
  write(R"({"card": {"a": {"choice": "native", "native_ms": 9, "library_ms": 1}}})");
  Autotuner tuner(file());
  EXPECT_FALSE(ask(tuner, "a", 9, 1));
  EXPECT_EQ(made_, 0);
  EXPECT_FALSE(tuner.library_is_recorded("card", "a"));
  EXPECT_FALSE(tuner.library_is_recorded("card", "unknown"));
}

TEST_F(AutotunerTest, KeepsWhatOthersWroteMeanwhile) {
  Autotuner tuner(file());
  ask(tuner, "a", 4, 1);
  Autotuner other(file());
  ask(other, "theirs", 4, 1);
  ask(tuner, "b", 4, 1);
  EXPECT_EQ(contents().at("card").size(), 3u);
  for (const auto& entry : fs::directory_iterator(file().parent_path()))
    EXPECT_EQ(entry.path(), file()) << "left behind";
}

TEST_F(AutotunerTest, DoesNotChooseALibraryThatFails) {
  Autotuner tuner(file());
  const auto make = [] { return Autotuner::Candidates{[] {}, [] { fail("no such algorithm"); }}; };
  Stream& stream = default_stream({DeviceKind::cpu, 0});
  EXPECT_FALSE(tuner.library_is_faster(stream, "card", "a", make));
  EXPECT_EQ(contents().at("card").at("a").at("library_failed"), "no such algorithm");
  Autotuner another(file());
  EXPECT_FALSE(another.library_is_faster(stream, "card", "a", make));
}

TEST_F(AutotunerTest, RefusesAFileThatIsNone) {
  for (const char* text : {"{", "[1]", R"({"card": {"a": 3}})", R"({"card": {"a": {"choice": "other"}}})", ""}) {
    write(text);
    Autotuner tuner(file());
    try {
      ask(tuner, "a", 1, 1);
      ADD_FAILURE() << "taken: " << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(file().string()), std::string::npos) << error.what();
    }
  }
  EXPECT_EQ(made_, 0);
}

TEST_F(AutotunerTest, SaysWhereItCannotWrite) {
  fs::create_directories(folder_);
  std::ofstream(folder_ / "choices") << "a file where a folder would be";
  Autotuner tuner(file());
  try {
    ask(tuner, "a", 1, 1);
    ADD_FAILURE() << "nothing was said";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("TWEEDIE_AUTOTUNE_FILE"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace tweedie
