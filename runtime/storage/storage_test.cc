#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "runtime/base/file.h"
#include "runtime/storage/bind.h"
#include "runtime/storage/mount_options.h"
#include "runtime/storage/rootfs.h"
#include "runtime/storage/share.h"
#include "runtime/storage/unmount.h"

namespace storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(MountOptions, LaterOptionOverridesEarlier) {
  const auto options = ParseMountOptions({"ro", "nosuid", "rw", "lowerdir=a:b", "index=off"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->flags, static_cast<unsigned long>(MS_NOSUID));
  EXPECT_FALSE(options->read_only);
  EXPECT_EQ(options->data, "lowerdir=a:b,index=off");
}

TEST(MountOptions, RecognisesBindsLoopsAndContainerdsOwn) {
  const auto options = ParseMountOptions({"rbind", "rro", "rslave", "loop", "X-containerd.mkfs=x"});
  ASSERT_TRUE(options);
  EXPECT_TRUE(options->bind && options->recursive && options->read_only_recursive && options->loop);
  EXPECT_EQ(options->propagation, static_cast<unsigned long>(MS_SLAVE));
  EXPECT_THAT(options->data, IsEmpty());
}

TEST(MountOptions, RejectsNul) { EXPECT_FALSE(ParseMountOptions({std::string("a\0b", 3)})); }

TEST(CompactOverlayData, IsRelativeToTheCommonParent) {
  const CompactData compact =
      CompactOverlayData("index=off,workdir=/s/9/work,upperdir=/s/9/fs,lowerdir=/s/10/fs:/s/2/fs");
  EXPECT_EQ(compact.directory, "/s/");
  EXPECT_EQ(compact.data, "index=off,workdir=9/work,upperdir=9/fs,lowerdir=10/fs:2/fs");
}

TEST(CompactOverlayData, LeavesWhatItCannotCut) {
  EXPECT_EQ(CompactOverlayData("lowerdir=/a\\:b:/c").directory, "");
  EXPECT_EQ(CompactOverlayData("lowerdir=/a/x:/b/y").directory, "");
  EXPECT_EQ(CompactOverlayData("index=off").directory, "");
}

TEST(MountPointsBelow, DecodesEscapesAndKeepsToTheDirectory) {
  const char kMountInfo[] =
      "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
      "2 1 0:2 / /run/p/share rw shared:1 - tmpfs t rw\n"
      "3 2 0:3 / /run/p/share/a\\040b rw - tmpfs t rw\n"
      "4 1 0:4 / /run/p/shared rw - tmpfs t rw\n";
  EXPECT_THAT(MountPointsBelow(kMountInfo, "/run/p/share"),
              ElementsAre("/run/p/share", "/run/p/share/a b"));
}

// Mounts for real, in a mount namespace of the test's own. Skips without CAP_SYS_ADMIN.
class Mounting : public ::testing::Test {
 protected:
  void SetUp() override {
    if (unshare(CLONE_NEWNS) != 0) GTEST_SKIP() << "no private mount namespace: needs root";
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    char path[] = "/tmp/storage_test.XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    root_ = path;
    // A shared file system, as systemd makes the host's.
    ASSERT_EQ(mount("t", path, "tmpfs", 0, nullptr), 0);
    ASSERT_EQ(mount(nullptr, path, nullptr, MS_SHARED, nullptr), 0);
  }
  void TearDown() override {
    if (root_.empty()) return;
    EXPECT_TRUE(UnmountTree(root_));
    rmdir(root_.c_str());
  }
  std::string Dir(const std::string& name) {
    std::filesystem::create_directories(root_ + "/" + name);
    return root_ + "/" + name;
  }
  std::string root_;
};

void WriteTo(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
std::string ReadFrom(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST_F(Mounting, OverlayWithMoreThanAPageOfLowerdirs) {
  std::string lower;
  for (int i = 0; i < 60; ++i) {
    const std::string name = "snapshots-with-a-rather-long-name-of-its-own-so-that-it-adds-up/" +
                             std::to_string(i) + "/fs";
    WriteTo(Dir(name) + "/file" + std::to_string(i), "x");
    lower += (lower.empty() ? "" : ":") + Dir(name);
  }
  ASSERT_GT(lower.size(), 4096U);
  const std::string base = "snapshots-with-a-rather-long-name-of-its-own-so-that-it-adds-up/";
  const Mount overlay{
      "overlay",
      "overlay",
      "",
      {"workdir=" + Dir(base + "w"), "upperdir=" + Dir(base + "u"), "lowerdir=" + lower}};
  const auto mounted = MountRootfs({&overlay, 1}, root_ + "/rootfs");
  ASSERT_TRUE(mounted) << mounted.error().Message();
  EXPECT_EQ(ReadFrom(root_ + "/rootfs/file59"), "x");
}

TEST_F(Mounting, FailedSecondMountUndoesTheFirst) {
  const Mount mounts[] = {{"bind", Dir("a"), "", {"rbind", "rw"}},
                          {"bind", root_ + "/nowhere", "", {"rbind"}}};
  const auto mounted = MountRootfs(mounts, root_ + "/rootfs");
  ASSERT_FALSE(mounted);
  EXPECT_THAT(mounted.error().Message(), ::testing::HasSubstr(root_ + "/nowhere"));
  WriteTo(root_ + "/a/f", "x");
  EXPECT_FALSE(std::filesystem::exists(root_ + "/rootfs/f"));
}

TEST_F(Mounting, LoopIsSaidToBeMissing) {
  const Mount mount{"ext4", "/x.img", "", {"loop"}};
  const auto mounted = MountRootfs({&mount, 1}, root_ + "/rootfs");
  ASSERT_FALSE(mounted);
  EXPECT_EQ(mounted.error().code(), base::Code::kUnimplemented);
}

TEST_F(Mounting, TargetMayNotLeaveTheRootfs) {
  const Mount mount{"bind", Dir("a"), "../b", {"rbind"}};
  EXPECT_FALSE(MountRootfs({&mount, 1}, root_ + "/rootfs"));
}

TEST_F(Mounting, ReadOnlyBindIsReadOnlyOnTheHost) {
  const std::string share = root_ + "/share";
  ASSERT_TRUE(MakeShare(share));
  ASSERT_TRUE(ShareBind(share, "c", 0, Dir("src"), {.read_only = true}));
  EXPECT_FALSE(base::Open(share + "/c/mounts/0/new", O_WRONLY | O_CREAT, 0644));
  EXPECT_EQ(errno, EROFS);
  EXPECT_TRUE(base::Open(root_ + "/src/new", O_WRONLY | O_CREAT, 0644));
}

// OCI runtime-spec 1.2, config.md "Linux mount options": "ro" is of the mount itself, "rro" of
// those below it, too.
TEST_F(Mounting, ReadOnlyLeavesInnerMountsWritableAndIsToldOfThem) {
  const std::string inner = Dir("src/inner");
  ASSERT_EQ(mount("t", inner.c_str(), "tmpfs", 0, nullptr), 0);
  const std::string share = root_ + "/share";
  ASSERT_TRUE(MakeShare(share));
  ASSERT_TRUE(ShareBind(share, "c", 0, root_ + "/src", {.read_only = true}));
  EXPECT_FALSE(base::Open(share + "/c/mounts/0/new", O_WRONLY | O_CREAT, 0644));
  EXPECT_EQ(errno, EROFS);
  EXPECT_TRUE(base::Open(share + "/c/mounts/0/inner/new", O_WRONLY | O_CREAT, 0644));
  const auto below = HasMountsBelow(share, "c", 0);
  ASSERT_TRUE(below);
  EXPECT_TRUE(*below);
  ASSERT_TRUE(ShareBind(share, "c", 1, root_ + "/src", {.recursive = false, .read_only = true}));
  const auto alone = HasMountsBelow(share, "c", 1);
  ASSERT_TRUE(alone);
  EXPECT_FALSE(*alone);
  ASSERT_TRUE(ShareBind(share, "c", 2, root_ + "/src", {.read_only_recursive = true}));
  EXPECT_FALSE(base::Open(share + "/c/mounts/2/inner/new2", O_WRONLY | O_CREAT, 0644));
  EXPECT_EQ(errno, EROFS);
}

// The clone must not be a peer of the source: else unmounting it would unmount the host's.
TEST_F(Mounting, UnsharingLeavesTheHostsMountsAlone) {
  const std::string inner = Dir("src/inner");
  ASSERT_EQ(mount("t", inner.c_str(), "tmpfs", 0, nullptr), 0);
  WriteTo(inner + "/f", "kept");
  const std::string share = root_ + "/share";
  ASSERT_TRUE(MakeShare(share));
  ASSERT_TRUE(ShareRootfs(share, "c", root_ + "/src"));
  EXPECT_EQ(ReadFrom(share + "/c/rootfs/inner/f"), "kept");
  ASSERT_TRUE(UnshareContainer(share, "c"));
  EXPECT_FALSE(std::filesystem::exists(share + "/c"));
  EXPECT_EQ(ReadFrom(inner + "/f"), "kept");
  EXPECT_TRUE(UnshareContainer(share, "c")) << "twice";
}

TEST_F(Mounting, FileBindAndCleanUpTwice) {
  const std::string share = root_ + "/share";
  ASSERT_TRUE(MakeShare(share));
  WriteTo(root_ + "/hosts", "127.0.0.1");
  ASSERT_TRUE(ShareBind(share, "c", 3, root_ + "/hosts", {}));
  EXPECT_EQ(ReadFrom(share + "/c/mounts/3"), "127.0.0.1");
  EXPECT_TRUE(UnshareContainer(share, "c"));
  EXPECT_TRUE(UnmountTree(share));
  EXPECT_TRUE(UnmountTree(share));
  EXPECT_EQ(ReadFrom(root_ + "/hosts"), "127.0.0.1");
}

// What virtiofsd relies on: a namespace that is a slave of ours sees what is mounted later, and
// sees it read-only where it is.
TEST_F(Mounting, LaterMountsPropagateToASlaveWithTheirFlags) {
  const std::string share = root_ + "/share";
  ASSERT_TRUE(MakeShare(share));
  WriteTo(Dir("src") + "/f", "x");
  int to_child[2];
  ASSERT_EQ(pipe(to_child), 0);
  int from_child[2];
  ASSERT_EQ(pipe(from_child), 0);
  const pid_t child = fork();
  if (child == 0) {
    char byte = 0;
    if (unshare(CLONE_NEWNS) != 0) _exit(2);
    if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) _exit(3);
    if (write(from_child[1], "", 1) != 1 || read(to_child[0], &byte, 1) != 1) _exit(4);
    if (access((share + "/c/mounts/0/f").c_str(), R_OK) != 0) _exit(5);
    _exit(access((share + "/c/mounts/0/f").c_str(), W_OK) == 0 ? 6 : 0);
  }
  char byte = 0;
  ASSERT_EQ(read(from_child[0], &byte, 1), 1);
  ASSERT_TRUE(ShareBind(share, "c", 0, root_ + "/src", {.read_only = true}));
  ASSERT_EQ(write(to_child[1], "", 1), 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  for (const int fd : {to_child[0], to_child[1], from_child[0], from_child[1]}) close(fd);
}

}  // namespace
}  // namespace storage
