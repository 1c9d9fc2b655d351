#include "runtime/pod/anchor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "runtime/base/file.h"
#include "runtime/base/socket.h"
#include "runtime/pod/machine.h"

namespace pod {
namespace {

namespace fs = std::filesystem;

class AnchorTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: mount namespaces";
    char path[] = "/tmp/anchor_test.XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    rootfs_ = path;
    ASSERT_TRUE(base::WriteFileAtomic(rootfs_ + "/marker", "of the container"));
  }
  void TearDown() override {
    if (!rootfs_.empty()) fs::remove_all(rootfs_);
  }

  struct Running {
    pid_t pid = -1;
    base::UniqueFd socket;
    int answer = -1;
  };
  // What Anchor::Start runs, in a child with the descriptors that it has there. (Start itself would
  // run this test program.)
  static Running Run(const Anchor::Root& root) {
    auto pair = base::SocketPair(SOCK_STREAM);
    CHECK(pair.has_value());
    Running running;
    running.pid = fork();
    if (running.pid == 0) {
      const int socket = fcntl(pair->second.get(), F_DUPFD, 10);
      const int directory = fcntl(root.directory.get(), F_DUPFD, 10);
      const int mount_namespace = fcntl(root.mount_namespace.get(), F_DUPFD, 10);
      dup2(socket, 3);
      dup2(directory, 4);
      close(5);
      if (mount_namespace >= 0) dup2(mount_namespace, 5);
      close_range(6, ~0U, 0);
      _exit(anchor::Main());
    }
    pair->second.Reset();
    running.socket = std::move(pair->first);
    if (read(running.socket.get(), &running.answer, sizeof running.answer) !=
        static_cast<ssize_t>(sizeof running.answer)) {
      running.answer = -1;
    }
    return running;
  }
  static int End(Running& running) {
    running.socket.Reset();
    int status = -1;
    waitpid(running.pid, &status, 0);
    return status;
  }
  static std::string Of(const Running& running, const char* what) {
    return "/proc/" + std::to_string(running.pid) + "/" + what;
  }

  std::string rootfs_;
};

// `nerdctl cp` works in /proc/PID/root.
TEST_F(AnchorTest, ItsRootIsTheContainersAndNothingOfTheHosts) {
  const auto root = Anchor::RootAt(rootfs_);
  if (!root) GTEST_SKIP() << root.error().Message();
  Running running = Run(*root);
  ASSERT_EQ(running.answer, 0);
  EXPECT_EQ(base::ReadFile(Of(running, "root/marker")).value_or(""), "of the container");
  EXPECT_FALSE(fs::exists(Of(running, "root/proc")));
  EXPECT_TRUE(fs::exists(Of(running, "cwd/marker")));
  // Both ways, as the guest writes by another mount of the same files.
  ASSERT_TRUE(base::WriteFileAtomic(rootfs_ + "/later", "x"));
  EXPECT_TRUE(fs::exists(Of(running, "root/later")));
  if (fs::read_symlink(Of(running, "ns/mnt")) != fs::read_symlink("/proc/self/ns/mnt")) {
    const std::string mounts = base::ReadFile(Of(running, "mountinfo")).value_or("");
    EXPECT_EQ(std::count(mounts.begin(), mounts.end(), '\n'), 1) << mounts;
  }
  EXPECT_EQ(End(running), 0);
}

TEST_F(AnchorTest, AnExecsIsWhereItsContainersIs) {
  const auto root = Anchor::RootAt(rootfs_);
  if (!root) GTEST_SKIP() << root.error().Message();
  Running init = Run(*root);
  ASSERT_EQ(init.answer, 0);
  const auto of_init = Anchor::RootOf(init.pid);
  ASSERT_TRUE(of_init);
  Running exec = Run(*of_init);
  EXPECT_EQ(exec.answer, 0);
  EXPECT_TRUE(fs::exists(Of(exec, "root/marker")));
  EXPECT_FALSE(fs::exists(Of(exec, "root/proc")));
  EXPECT_EQ(fs::read_symlink(Of(exec, "ns/mnt")), fs::read_symlink(Of(init, "ns/mnt")));
  EXPECT_EQ(End(exec), 0);
  EXPECT_EQ(End(init), 0);
}

TEST_F(AnchorTest, WhatIsNoDirectoryIsAnError) {
  EXPECT_FALSE(Anchor::RootAt(rootfs_ + "/absent"));
  const auto root = Anchor::RootAt(rootfs_ + "/marker");
  if (!root) return;
  Running running = Run(*root);
  EXPECT_NE(running.answer, 0);
  EXPECT_NE(End(running), 0);
}

TEST(OomScore, TheHighestThatAContainerNames) {
  EXPECT_EQ(HighestOomScore({}), std::nullopt);
  EXPECT_EQ(HighestOomScore({{7, -998}}), -998) << "pause alone";
  EXPECT_EQ(HighestOomScore({{7, -998}, {8, 3}, {9, 0}}), 3);
  EXPECT_EQ(HighestOomScore({{8, 1000}, {9, -1000}}), 1000);
}

}  // namespace
}  // namespace pod
