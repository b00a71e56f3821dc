#include "experiments/common/progress.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "experiments/common/log.h"

namespace tweedie::experiments {
namespace {

class ProgressTest : public testing::Test {
 protected:
  ProgressTest() : file_(std::tmpfile()) {}
  ~ProgressTest() override {
    std::fclose(file_);
    set_log_level(LogLevel::info);
  }
  Progress::Settings settings(bool terminal) {
    return {.out = file_, .terminal = terminal, .width = 60, .clock = [this] { return now_; }};
  }
  std::string written() {
    std::fflush(file_);
    std::rewind(file_);
    std::string text;
    for (int c = 0; (c = std::fgetc(file_)) != EOF;) text += static_cast<char>(c);
    return text;
  }
  std::FILE* file_;
  double now_ = 0;
};

TEST_F(ProgressTest, PlainLinesComeSeldomAndSayRateAndTimeLeft) {
  {
    Progress progress(settings(false));
    Progress::Stage models(progress, "models", 3);
    Progress::Stage steps(progress, "steps", 100, 20);  // 20 were done before
    for (int i = 0; i < 60; ++i) {
      now_ += 0.125;  // exact in binary
      steps.advance(1, "loss 0.5");
    }
  }
  EXPECT_EQ(written(),
            "models 0/3 > steps 60/100 (60 %), 8.0/s, 5.0 s left; loss 0.5\n"
            "models > steps: 60 in 7.5 s; loss 0.5\n"
            "models: 7.5 s\n");
}

TEST_F(ProgressTest, ATerminalLineIsRedrawnAndFitsTheWidth) {
  {
    Progress progress(settings(true));
    Progress::Stage steps(progress, "steps", 10);
    now_ = 1;
    steps.advance(5, std::string(100, 'x'));
    now_ = 1.05;  // too soon for another
    steps.advance();
  }
  const std::string text = written();
  EXPECT_NE(text.find("\rsteps [##########..........] 5/10 (50 %), 5.0/s, 1.0 s left"), std::string::npos) << text;
  EXPECT_EQ(text.find("6/10"), std::string::npos);
  EXPECT_EQ(text.find(std::string(20, 'x')), text.rfind(std::string(100, 'x'))) << text;  // cut on the redrawn line
  EXPECT_NE(text.find("\r\033[Ksteps: 6 in 1.1 s"), std::string::npos) << text;
}

TEST_F(ProgressTest, AFailureIsNotReportedAsDone) {
  try {
    Progress progress(settings(false));
    Progress::Stage steps(progress, "steps", 10);
    now_ = 2;
    steps.advance();
    throw std::runtime_error("broken");
  } catch (const std::runtime_error&) {
  }
  EXPECT_EQ(written(), "");
}

TEST_F(ProgressTest, QuietIsSilent) {
  set_log_level(LogLevel::quiet);
  {
    Progress progress(settings(false));
    Progress::Stage steps(progress, "steps", 10);
    now_ = 20;
    steps.advance(10);
  }
  EXPECT_EQ(written(), "");
}

TEST(Log, LinesBelowTheLevelAreDropped) {
  testing::internal::CaptureStderr();
  set_log_level(LogLevel::info);
  log_info("shown {}", 1);
  log_debug("hidden {}", 2);
  set_log_level(LogLevel::quiet);
  log_info("hidden {}", 3);
  set_log_level(LogLevel::info);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "shown 1\n");
}

}  // namespace
}  // namespace tweedie::experiments
