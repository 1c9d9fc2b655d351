#include "runtime/cpu/core_scheduling.h"

#include <gtest/gtest.h>
#include <linux/prctl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>

namespace cpu {
namespace {

uint64_t CookieOf(pid_t process) {
  uint64_t cookie = 0;
  EXPECT_EQ(prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, process, PR_SCHED_CORE_SCOPE_THREAD, &cookie),
            0);
  return cookie;
}

class CoreSchedulingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    child_ = fork();
    if (child_ == 0) {
      pause();
      _exit(0);
    }
  }
  void TearDown() override {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  pid_t child_ = 0;
};

// Whatever this kernel has, the answer must be what prctl itself shows.
TEST_F(CoreSchedulingTest, SaysWhatTheKernelDid) {
  const auto cookie = GiveCoreCookie(child_);
  ASSERT_TRUE(cookie) << cookie.error().Message();
  uint64_t value = 0;
  const int get =
      prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, child_, PR_SCHED_CORE_SCOPE_THREAD, &value);
  if (*cookie == CoreCookie::kGiven) {
    EXPECT_EQ(get, 0);
    EXPECT_NE(value, 0u);
    EXPECT_EQ(CookieOf(getpid()), 0u) << "ours must stay as it was";
  } else {
    EXPECT_NE(get, 0);
  }
}

TEST_F(CoreSchedulingTest, AProcessThatIsGoneIsAnError) {
  const auto first = GiveCoreCookie(child_);
  ASSERT_TRUE(first);
  kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
  const auto gone = GiveCoreCookie(child_);
  if (*first == CoreCookie::kGiven) {
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().code(), base::Code::kNotFound);
  } else {
    ASSERT_TRUE(gone);
    EXPECT_EQ(*gone, *first);
  }
}

}  // namespace
}  // namespace cpu
