#include "runtime/base/subprocess.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "runtime/base/fd_limit.h"
#include "runtime/base/file.h"
#include "runtime/base/socket.h"

namespace base {
namespace {

// What `script` writes to descriptor 1, and its exit code.
struct Outcome {
  std::string output;
  int code = -1;
};

Outcome RunShell(const std::string& script, SubprocessOptions options = {}) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return {};
  const UniqueFd read_end(fds[0]);
  UniqueFd write_end(fds[1]);
  options.program = "/bin/sh";
  options.argv = {"sh", "-c", script};
  options.fds.push_back({write_end, 1});
  auto child = Subprocess::Spawn(options);
  write_end.Reset();
  if (!child) return {child.error().Message(), -1};
  Outcome outcome;
  outcome.output = ReadAll(read_end, 1 << 20).value_or("(unread)");
  const auto status = child->Wait();
  if (status) outcome.code = ExitCode(*status);
  return outcome;
}

TEST(SubprocessTest, RunsWithWhatItWasGivenAndNothingElse) {
  const Outcome outcome = RunShell("echo $PWD $A $HOME; exit 7", {.env = {"A=b"}, .cwd = "/proc"});
  EXPECT_EQ(outcome.output, "/proc b\n");
  EXPECT_EQ(outcome.code, 7);
}

TEST(SubprocessTest, AChildHasTheDescriptorLimitFromBeforeItWasRaised) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit low{64, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  ASSERT_TRUE(RaiseFdLimit());
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, limit.rlim_max);
  EXPECT_EQ(RunShell("ulimit -Sn; ulimit -Hn").output,
            "64\n" + std::to_string(limit.rlim_max) + "\n");
}

TEST(SubprocessTest, JoinsTheNetworkNamespace) {
  UniqueFd other;
  std::thread([&other] {
    if (unshare(CLONE_NEWNET) == 0) other = std::move(*Open("/proc/thread-self/ns/net", O_RDONLY));
  }).join();
  if (!other) GTEST_SKIP() << "no network namespace: needs root";
  struct stat status;
  ASSERT_EQ(fstat(other.get(), &status), 0);
  const Outcome outcome = RunShell("readlink /proc/self/ns/net",
                                   {.env = {"PATH=/usr/bin:/bin"}, .network_namespace = other});
  EXPECT_EQ(outcome.output, "net:[" + std::to_string(status.st_ino) + "]\n");
}

TEST(SubprocessTest, NamespaceThatIsNoneIsAnErrorOfItsStage) {
  const UniqueFd null = std::move(*Open("/dev/null", O_RDONLY));
  const Outcome outcome = RunShell("exit 0", {.network_namespace = null});
  EXPECT_EQ(outcome.code, -1);
  EXPECT_NE(outcome.output.find("join the network namespace"), std::string::npos) << outcome.output;
}

TEST(SubprocessTest, NoOtherDescriptorIsInherited) {
  const auto pair = SocketPair(SOCK_STREAM);
  ASSERT_TRUE(pair);
  // One without close-on-exec, high up.
  const UniqueFd leaky(fcntl(pair->first.get(), F_DUPFD, 200));
  ASSERT_TRUE(leaky);
  const Outcome outcome = RunShell("ls /proc/$$/fd | tr '\\n' ' '");
  EXPECT_EQ(outcome.output.find("200"), std::string::npos) << outcome.output;
}

TEST(SubprocessTest, DescriptorsMayTradePlaces) {
  int one[2], two[2];
  ASSERT_EQ(pipe2(one, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(two, O_CLOEXEC), 0);
  const UniqueFd one_read(one[0]), one_write(one[1]), two_read(two[0]), two_write(two[1]);
  const int a = one_write.get(), b = two_write.get();
  const Outcome outcome =
      RunShell(fmt::format("echo a >/proc/self/fd/{}; echo b >/proc/self/fd/{}", b, a),
               {.fds = {{one_write, b}, {two_write, a}}});
  EXPECT_EQ(outcome.code, 0);
  char byte = 0;
  ASSERT_EQ(read(one_read.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'a');
  ASSERT_EQ(read(two_read.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'b');
}

TEST(SubprocessTest, WhatCannotStartNamesItsStage) {
  const auto missing = Subprocess::Spawn({.program = "/nonexistent", .argv = {"x"}});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_THAT(missing.error().Message(), ::testing::HasSubstr("start /nonexistent: exec"));
  const auto directory =
      Subprocess::Spawn({.program = "/bin/true", .argv = {"x"}, .cwd = "/nonexistent"});
  ASSERT_FALSE(directory);
  EXPECT_THAT(directory.error().Message(), ::testing::HasSubstr("chdir"));
}

TEST(SubprocessTest, SignalsAndPidfd) {
  auto child = Subprocess::Spawn({.program = "/bin/sleep", .argv = {"sleep", "600"}});
  ASSERT_TRUE(child);
  const auto running = child->TryWait();
  ASSERT_TRUE(running);
  EXPECT_FALSE(running->has_value());
  ASSERT_TRUE(child->Signal(SIGTERM));
  pollfd poll_fd{child->pidfd().get(), POLLIN, 0};
  ASSERT_EQ(poll(&poll_fd, 1, -1), 1);
  const auto status = child->Wait();
  ASSERT_TRUE(status);
  EXPECT_EQ(ExitCode(*status), 128 + SIGTERM);
  EXPECT_TRUE(child->Signal(SIGTERM));  // ended already: no error
}

TEST(SubprocessTest, IgnoredAndBlockedSignalsAreReset) {
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
  const auto old = signal(SIGTERM, SIG_IGN);
  auto child = Subprocess::Spawn({.program = "/bin/sleep", .argv = {"sleep", "600"}});
  signal(SIGTERM, old);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(child);
  ASSERT_TRUE(child->Signal(SIGTERM));
  const auto status = child->Wait();
  ASSERT_TRUE(status);
  EXPECT_EQ(ExitCode(*status), 128 + SIGTERM);
}

}  // namespace
}  // namespace base
