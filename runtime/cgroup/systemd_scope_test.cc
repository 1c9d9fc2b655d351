#include "runtime/cgroup/systemd_scope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "runtime/base/file.h"

namespace cgroup {
namespace {

using ::testing::HasSubstr;

// In systemd-run's place, a script; with systemd itself: tests/e2e/systemd-driver.
class SystemdScopeTest : public ::testing::Test {
 protected:
  SystemdScopeTest() { EXPECT_NE(mkdtemp(directory_), nullptr); }
  ~SystemdScopeTest() override {
    for (const char* file : {"/run", "/seen"}) unlink((directory_ + std::string(file)).c_str());
    rmdir(directory_);
  }
  std::string Script(const std::string& text) {
    const std::string path = directory_ + std::string("/run");
    EXPECT_TRUE(base::WriteFileAtomic(path, "#!/bin/sh\n" + text, 0755));
    return path;
  }
  std::string seen() { return base::ReadFile(directory_ + std::string("/seen")).value_or(""); }

  const ScopeUnit unit_{"a-b.slice", "p-n.scope"};
  char directory_[32] = "/tmp/pinion-scope-XXXXXX";
};

TEST_F(SystemdScopeTest, HoldsAPlaceholderUntilItIsDestroyed) {
  pid_t placeholder = 0;
  {
    const auto scope = SystemdScope::Start(
        unit_, Script("echo a warning\necho $$ \"$@\" >${0%/*}/seen\n"
                      "while [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n"));
    ASSERT_TRUE(scope) << scope.error().Message();
    EXPECT_THAT(seen(), HasSubstr(" --slice=a-b.slice --unit=p-n.scope --property=Delegate=yes "));
    placeholder = std::atoi(seen().c_str());
    ASSERT_GT(placeholder, 1);
    EXPECT_EQ(kill(placeholder, 0), 0);
  }
  EXPECT_EQ(kill(placeholder, 0), -1);
}

TEST_F(SystemdScopeTest, ARefusalIsToldInSystemdsWords) {
  const auto scope =
      SystemdScope::Start(unit_, Script("echo Unit p-n.scope was already loaded >&2\nexit 1\n"));
  ASSERT_FALSE(scope);
  EXPECT_EQ(scope.error().code(), base::Code::kFailedPrecondition);
  EXPECT_THAT(scope.error().Message(), HasSubstr("p-n.scope in a-b.slice: Unit p-n.scope was al"));
}

TEST_F(SystemdScopeTest, AProgramThatSaysTooMuchIsNotHeardToItsEnd) {
  const auto scope = SystemdScope::Start(unit_, Script("exec yes\n"));
  ASSERT_FALSE(scope);
  EXPECT_EQ(scope.error().code(), base::Code::kFailedPrecondition);
}

TEST_F(SystemdScopeTest, AMissingProgramIsNamed) {
  const auto scope = SystemdScope::Start(unit_, "/nowhere/systemd-run");
  ASSERT_FALSE(scope);
  EXPECT_THAT(scope.error().Message(), HasSubstr("/nowhere/systemd-run"));
}

TEST_F(SystemdScopeTest, StopNamesTheUnit) {
  EXPECT_TRUE(StopScope(unit_, Script("echo \"$@\" >${0%/*}/seen\n")));
  EXPECT_EQ(seen(), "stop --quiet p-n.scope\n");
}

TEST_F(SystemdScopeTest, StopOfWhatHasGoneIsNoErrorAndAnyOtherIs) {
  EXPECT_TRUE(
      StopScope(unit_, Script("echo Failed to stop p-n.scope: Unit p-n.scope not loaded. >&2\n"
                              "exit 5\n")));
  const auto refused = StopScope(unit_, Script("echo Access denied >&2\nexit 4\n"));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().Message(), HasSubstr("Access denied"));
}

}  // namespace
}  // namespace cgroup
