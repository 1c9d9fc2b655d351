#include "runtime/pod/hooks.h"

#include <gmock/gmock.h>
#include <unistd.h>

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

}  // namespace
}  // namespace pod
