#include "runtime/base/process_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "runtime/base/file.h"
#include "runtime/base/subprocess.h"

namespace base {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

TEST(ProcessTreeTest, ChildrenOfEveryThreadUntilTheyAreReaped) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd read_end(fds[0]);
  UniqueFd write_end(fds[1]);
  Result<Subprocess> shell = MakeError(Code::kInternal, "not spawned");
  std::thread([&] {
    shell = Subprocess::Spawn({.program = "/bin/sh",
                               .argv = {"sh", "-c", "sleep 999 & sleep 999 & echo; wait"},
                               .env = {"PATH=/usr/bin:/bin"},
                               .fds = {{write_end, 1}},
                               .new_session = true});
    // A child stays its thread's for as long as that lives.
    ASSERT_TRUE(shell) << shell.error().Message();
    EXPECT_THAT(ChildrenOf(getpid()), Contains(shell->pid()));
  }).join();
  ASSERT_TRUE(shell);
  char byte;
  ASSERT_EQ(read(read_end.get(), &byte, 1), 1);  // both run
  EXPECT_THAT(ChildrenOf(getpid()), Contains(shell->pid()))
      << "the process', once the thread ended";
  EXPECT_THAT(ChildrenOf(shell->pid()), SizeIs(2));
  EXPECT_EQ(kill(-shell->pid(), SIGKILL), 0);
  ASSERT_TRUE(shell->Wait());
  EXPECT_THAT(ChildrenOf(getpid()), Not(Contains(shell->pid())));
  EXPECT_THAT(ChildrenOf(shell->pid()), IsEmpty()) << "it has gone";
}

}  // namespace
}  // namespace base
