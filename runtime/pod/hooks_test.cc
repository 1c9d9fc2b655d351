#include "runtime/pod/hooks.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "runtime/base/file.h"

namespace pod {
namespace {

using testing::HasSubstr;

class HooksTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/hooks_test.XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    dir_ = path;
    state_.oci_version = "1.2.0";
    state_.id = "c1";
    state_.status = "creating";
    state_.pid = 42;
    state_.bundle = dir_;
    state_.annotations["a\"b"] = "c";
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  static oci::Hook Shell(const std::string& script) {
    return {"/bin/sh", {"sh", "-c", script}, {"PATH=/bin:/usr/bin", "X=y"}, {}};
  }
  std::string dir_;
  oci::State state_;
};

TEST_F(HooksTest, EachReadsTheStateInItsEnvironment) {
  ASSERT_TRUE(RunHooks({Shell("cat >state; echo $X >x"), Shell("pwd >cwd")}, state_));
  EXPECT_EQ(
      *base::ReadFile(dir_ + "/state"),
      "{\"ociVersion\":\"1.2.0\",\"id\":\"c1\",\"status\":\"creating\",\"pid\":42,\"bundle\":\"" +
          dir_ + "\",\"annotations\":{\"a\\\"b\":\"c\"}}");
  EXPECT_EQ(*base::ReadFile(dir_ + "/x"), "y\n");
  EXPECT_EQ(*base::ReadFile(dir_ + "/cwd"), dir_ + "\n");
}

TEST_F(HooksTest, TheFirstFailureIsTheLastThatRuns) {
  const auto result = RunHooks({Shell("echo bad >&2; exit 4"), Shell("touch second")}, state_);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().Message(), HasSubstr("status 4: bad"));
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/second"));
}

TEST_F(HooksTest, ATimeoutEndsIt) {
  oci::Hook hook = Shell("exec sleep 1000");
  hook.timeout_seconds = 1;
  EXPECT_EQ(RunHooks({hook}, state_).error().code(), base::Code::kDeadlineExceeded);
}

TEST_F(HooksTest, ALimitIsForAllOfThem) {
  const std::chrono::milliseconds limit(300);
  const auto begun = std::chrono::steady_clock::now();
  const auto result = RunHooks({Shell("sleep 0.2"), Shell("exec sleep 1000")}, state_, limit);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), base::Code::kDeadlineExceeded);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(100));
}

// Create that fails, Delete and `delete` may each come to it.
TEST_F(HooksTest, PoststopRunsOnceAndOnlyIfOwed) {
  HookPlan plan;
  plan.hooks.poststop = {Shell("cat >>stopped")};
  plan.state = state_;
  plan.state.pid = 0;
  ASSERT_TRUE(RunPoststop(plan));
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/stopped"));
  ASSERT_TRUE(OwePoststop(plan));
  ASSERT_TRUE(OwePoststop(plan));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(RunPoststop(plan));
  EXPECT_EQ(*base::ReadFile(dir_ + "/stopped"),
            "{\"ociVersion\":\"1.2.0\",\"id\":\"c1\",\"status\":\"stopped\",\"bundle\":\"" + dir_ +
                "\",\"annotations\":{\"a\\\"b\":\"c\"}}");
}

TEST_F(HooksTest, WhereThereIsNoPoststopNoneIsOwed) {
  HookPlan plan;
  plan.state = state_;
  ASSERT_TRUE(OwePoststop(plan));
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/" + kPoststopFile));
}

TEST_F(HooksTest, PoststopOfADeadShimIsReadFromTheBundle) {
  const std::chrono::seconds limit(100);
  EXPECT_TRUE(RunPoststopOf("c1", dir_ + "/absent", limit));
  EXPECT_TRUE(RunPoststopOf("c1", dir_, limit)) << "nothing is owed";
  ASSERT_TRUE(base::WriteFileAtomic(dir_ + "/" + kPoststopFile, ""));
  ASSERT_TRUE(base::WriteFileAtomic(dir_ + "/config.json", "{"));
  EXPECT_FALSE(RunPoststopOf("c1", dir_, limit));
  ASSERT_TRUE(base::WriteFileAtomic(dir_ + "/config.json",
                                    R"({"ociVersion": "1.2.0", "root": {"path": "files"},
      "process": {"user": {"uid": 0, "gid": 0}, "args": ["x"], "cwd": "/"},
      "hooks": {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", "/bin/cat >>stopped"]}]}})"));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(RunPoststopOf("c1", dir_, limit));
  const std::string stopped = base::ReadFile(dir_ + "/stopped").value_or("");
  EXPECT_THAT(stopped, HasSubstr("\"id\":\"c1\",\"status\":\"stopped\""));
  EXPECT_EQ(stopped.find("status"), stopped.rfind("status")) << "once";
}

}  // namespace
}  // namespace pod
