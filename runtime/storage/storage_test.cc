#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "runtime/base/file.h"
#include "runtime/base/unique_fd.h"
#include "runtime/storage/bind.h"
#include "runtime/storage/mount_options.h"
#include "runtime/storage/overlay.h"
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

TEST(MountOptions, MappingsOfIds) {
  const auto options = ParseMountOptions({"ro", "uidmap=0:1000:10,10:5:1", "gidmap=0:7:1"});
  ASSERT_TRUE(options) << options.error().Message();
  EXPECT_EQ(options->id_map, (base::IdMap{{{0, 1000, 10}, {10, 5, 1}}, {{0, 7, 1}}}));
  EXPECT_THAT(options->data, IsEmpty());
  EXPECT_TRUE(ParseMountOptions({"rbind", "ridmap"})->id_map_recursive);
  for (const char* bad : {"uidmap=0:1", "uidmap=", "uidmap=0:x:1", "uidmap=0:-1:1",
                          "uidmap=0:1:4294967296", "uidmap=0:1:1,"}) {
    const auto refused = ParseMountOptions({bad, "gidmap=0:7:1"});
    ASSERT_FALSE(refused) << bad;
    EXPECT_THAT(refused.error().Message(), ::testing::HasSubstr(bad));
  }
  EXPECT_FALSE(ParseMountOptions({"uidmap=0:1:1"}));
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

uid_t OwnerOf(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 ? status.st_uid : ~uid_t{0};
}

// clone(2): not in a chroot.
bool CanMapIds() {
  const auto made = base::MakeUserNamespace({{{0, 0, 1}}, {{0, 0, 1}}});
  return made || made.error().error_number() != EPERM;
}

// As containerd's overlayfs snapshotter asks for: the upper layer's top is the container's already.
TEST_F(Mounting, LowerLayersOfAnOverlayAreSeenThroughTheMappings) {
  if (!CanMapIds()) GTEST_SKIP() << "no user namespace can be made here";
  WriteTo(Dir("l1") + "/a", "1");
  WriteTo(Dir("l2") + "/b", "2");
  ASSERT_EQ(chown((root_ + "/l2/b").c_str(), 5, 5), 0);
  ASSERT_EQ(chown(Dir("u").c_str(), 1000, 1000), 0);
  const Mount overlay{
      "overlay",
      "overlay",
      "",
      {"workdir=" + Dir("w"), "upperdir=" + Dir("u"), "lowerdir=" + Dir("l1") + ":" + Dir("l2"),
       "uidmap=0:1000:10", "gidmap=0:1000:10"}};
  const std::string rootfs = root_ + "/rootfs";
  const auto mounted = MountRootfs({&overlay, 1}, rootfs);
  ASSERT_TRUE(mounted) << mounted.error().Message();
  EXPECT_EQ(OwnerOf(rootfs), 1000U);
  EXPECT_EQ(OwnerOf(rootfs + "/a"), 1000U);
  EXPECT_EQ(OwnerOf(rootfs + "/b"), 1005U);
  EXPECT_EQ(OwnerOf(root_ + "/l1/a"), 0U) << "the layer is others', too";
  EXPECT_EQ(ReadFrom(rootfs + "/b"), "2");
  EXPECT_THAT(MountPointsBelow(*ReadMountInfo(), root_), ElementsAre(root_, rootfs));
  WriteTo(rootfs + "/a", "new");
  EXPECT_EQ(OwnerOf(root_ + "/u/a"), 1000U);
}

TEST_F(Mounting, AMappedLayerThatIsMissingLeavesNothing) {
  if (!CanMapIds()) GTEST_SKIP() << "no user namespace can be made here";
  const Mount overlay{
      "overlay",
      "overlay",
      "",
      {"lowerdir=" + Dir("l1") + ":" + root_ + "/nowhere", "uidmap=0:1000:10", "gidmap=0:1000:10"}};
  const auto mounted = MountRootfs({&overlay, 1}, root_ + "/rootfs");
  ASSERT_FALSE(mounted);
  EXPECT_THAT(mounted.error().Message(), ::testing::HasSubstr(root_ + "/nowhere"));
  EXPECT_THAT(MountPointsBelow(*ReadMountInfo(), root_), ElementsAre(root_));
}

TEST_F(Mounting, IdsOfOtherFileSystemsAreNotMapped) {
  const Mount mount{"tmpfs", "tmpfs", "", {"uidmap=0:1000:10", "gidmap=0:1000:10"}};
  EXPECT_EQ(MountRootfs({&mount, 1}, root_ + "/rootfs").error().code(), base::Code::kUnimplemented);
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
  Mount mounts[] = {{"bind", Dir("image"), "", {"rbind"}}, {"bind", Dir("a"), "link", {"rbind"}}};
  Dir("b");
  ASSERT_EQ(symlink((root_ + "/b").c_str(), (root_ + "/image/link").c_str()), 0);
  EXPECT_FALSE(MountRootfs(mounts, root_ + "/rootfs")) << "a link of the image's, out of it";
  Dir("image/b");
  WriteTo(root_ + "/a/f", "x");
  mounts[1].target = "../b";
  ASSERT_TRUE(MountRootfs(mounts, root_ + "/rootfs"));
  EXPECT_EQ(ReadFrom(root_ + "/rootfs/b/f"), "x");
  EXPECT_TRUE(UnmountTree(root_ + "/rootfs"));
}

// virtiofsd's place in the world: a process in a mount namespace of its own, whose root directory
// is the share.
class FileServer {
 public:
  explicit FileServer(const std::string& share) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    pid_ = fork();
    if (pid_ == 0) {
      if (unshare(CLONE_NEWNS) != 0 ||
          mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0 ||
          mount(share.c_str(), share.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
          chdir(share.c_str()) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
          umount2(".", MNT_DETACH) != 0 || write(ready[1], "", 1) != 1) {
        _exit(1);
      }
      pause();
      _exit(0);
    }
    close(ready[1]);
    char byte = 0;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    pidfd_.Reset(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
    EXPECT_TRUE(pidfd_);
  }
  ~FileServer() { Kill(); }
  FileServer(const FileServer&) = delete;
  FileServer& operator=(const FileServer&) = delete;
  void Kill() {
    if (pid_ > 0) kill(pid_, SIGKILL);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  base::BorrowedFd pidfd() const { return pidfd_; }
  // What it sees of a path of the share.
  std::string In(const std::string& path) const {
    return fmt::format("/proc/{}/root/{}", pid_, path);
  }

 private:
  pid_t pid_ = 0;
  base::UniqueFd pidfd_;
};

class Sharing : public Mounting {
 protected:
  void SetUp() override {
    Mounting::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    share_ = root_ + "/share";
    ASSERT_TRUE(MakeShare(share_));
    server_.emplace(share_);
  }
  void Bind(size_t index, const std::string& source, const CloneOptions& options) {
    auto tree = CloneBind("c", index, source, options);
    ASSERT_TRUE(tree) << tree.error().Message();
    const auto attached = AttachToShare(share_, server_->pidfd(), {&*tree, 1});
    ASSERT_TRUE(attached) << attached.error().Message();
  }
  std::string share_;
  std::optional<FileServer> server_;
};

TEST_F(Sharing, ReadOnlyBindIsReadOnlyForTheServer) {
  Bind(0, Dir("src"), {.read_only = true});
  EXPECT_FALSE(base::Open(server_->In("c/mounts/0/new"), O_WRONLY | O_CREAT, 0644));
  EXPECT_EQ(errno, EROFS);
  EXPECT_TRUE(base::Open(root_ + "/src/new", O_WRONLY | O_CREAT, 0644));
}

TEST_F(Sharing, DevicesAreNotTheServersToOpen) {
  const std::string source = Dir("src");
  if (mknod((source + "/null").c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0) {
    GTEST_SKIP() << "no device nodes can be made here";
  }
  Bind(0, source, {});
  struct stat status {};
  ASSERT_EQ(stat(server_->In("c/mounts/0/null").c_str(), &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode)) << "the guest sees it";
  EXPECT_FALSE(base::Open(server_->In("c/mounts/0/null"), O_RDONLY));
  EXPECT_EQ(errno, EACCES);
}

TEST_F(Sharing, IdsOfABindAreMapped) {
  if (!CanMapIds()) GTEST_SKIP() << "no user namespace can be made here";
  WriteTo(Dir("src") + "/f", "x");
  Bind(0, root_ + "/src", {.id_map = {{{0, 1000, 10}}, {{0, 1000, 10}}}});
  EXPECT_EQ(OwnerOf(server_->In("c/mounts/0/f")), 1000U);
  EXPECT_EQ(OwnerOf(root_ + "/src/f"), 0U);
}

// OCI runtime-spec 1.2, config.md "Linux mount options": "ro" is of the mount itself, "rro" of
// those below it, too.
TEST_F(Sharing, ReadOnlyLeavesInnerMountsWritable) {
  const std::string inner = Dir("src/inner");
  EXPECT_FALSE(*HasMountsBelow(root_ + "/src"));
  ASSERT_EQ(mount("t", inner.c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_TRUE(*HasMountsBelow(root_ + "/src/../src"));
  EXPECT_FALSE(*HasMountsBelow(inner));
  EXPECT_FALSE(HasMountsBelow(root_ + "/nowhere"));
  Bind(0, root_ + "/src", {.read_only = true});
  EXPECT_FALSE(base::Open(server_->In("c/mounts/0/new"), O_WRONLY | O_CREAT, 0644));
  EXPECT_EQ(errno, EROFS);
  EXPECT_TRUE(base::Open(server_->In("c/mounts/0/inner/new"), O_WRONLY | O_CREAT, 0644));
  Bind(1, root_ + "/src", {.recursive = false});
  EXPECT_FALSE(std::filesystem::exists(server_->In("c/mounts/1/inner/new")));
  Bind(2, root_ + "/src", {.read_only_recursive = true});
  EXPECT_FALSE(base::Open(server_->In("c/mounts/2/inner/new2"), O_WRONLY | O_CREAT, 0644));
  EXPECT_EQ(errno, EROFS);
}

// The clone must not be a peer of the source: else unmounting it would unmount the host's.
TEST_F(Sharing, UnsharingLeavesTheHostsMountsAlone) {
  const std::string inner = Dir("src/inner");
  ASSERT_EQ(mount("t", inner.c_str(), "tmpfs", 0, nullptr), 0);
  WriteTo(inner + "/f", "kept");
  {
    const auto rootfs = CloneRootfs("c", root_ + "/src");
    ASSERT_TRUE(rootfs);
    ASSERT_TRUE(AttachToShare(share_, server_->pidfd(), {&*rootfs, 1}));
  }
  EXPECT_EQ(ReadFrom(server_->In("c/rootfs/inner/f")), "kept");
  EXPECT_FALSE(std::filesystem::exists(share_ + "/c/rootfs/inner")) << "mounted on the host";
  ASSERT_TRUE(UnshareContainer(share_, "c"));
  EXPECT_FALSE(std::filesystem::exists(share_ + "/c"));
  EXPECT_FALSE(std::filesystem::exists(server_->In("c")));
  EXPECT_EQ(ReadFrom(inner + "/f"), "kept");
  EXPECT_TRUE(UnshareContainer(share_, "c")) << "twice";
}

// A volume's directory is the host's to remove as soon as it has unmounted what was in it.
TEST_F(Sharing, NoDirectoryOfTheHostIsBusy) {
  const std::string inner = Dir("src/inner");
  ASSERT_EQ(mount("t", inner.c_str(), "tmpfs", 0, nullptr), 0);
  const auto before = CloneBind("c", 1, root_ + "/src", {});  // attached nowhere yet
  ASSERT_TRUE(before);
  Bind(0, root_ + "/src", {});
  ASSERT_EQ(umount2(inner.c_str(), MNT_DETACH), 0);
  EXPECT_EQ(rmdir(inner.c_str()), 0) << strerror(errno);
}

// OCI runtime-spec 1.2, config.md "rslave".
TEST_F(Sharing, LaterMountsOfTheSourceAreSeenWhereTheyAreWanted) {
  const std::string inner = Dir("src/inner");
  Bind(0, root_ + "/src", {.follow_source = true});
  Bind(1, root_ + "/src", {});
  ASSERT_EQ(mount("t", inner.c_str(), "tmpfs", 0, nullptr), 0);
  WriteTo(inner + "/f", "later");
  EXPECT_EQ(ReadFrom(server_->In("c/mounts/0/inner/f")), "later");
  EXPECT_FALSE(std::filesystem::exists(server_->In("c/mounts/1/inner/f")));
}

// The guest has all rights over what virtiofsd shows.
TEST_F(Sharing, ItsOwnDirectoriesAreNotTheGuestsToChange) {
  Bind(0, Dir("src"), {});
  EXPECT_NE(rename(server_->In("c/mounts").c_str(), server_->In("c/away").c_str()), 0);
  EXPECT_EQ(errno, EROFS);
  EXPECT_NE(symlink("/etc", server_->In("c/link").c_str()), 0);
  EXPECT_EQ(errno, EROFS);
  EXPECT_TRUE(base::Open(server_->In("c/mounts/0/new"), O_WRONLY | O_CREAT, 0644));
}

// Before the first container is there it could: nothing behind a link of its making is touched.
TEST_F(Sharing, ALinkInTheGuestsPlaceLeadsNowhere) {
  const std::string kept = Dir("kept");
  WriteTo(kept + "/0", "x");
  ASSERT_EQ(mkdir((share_ + "/c").c_str(), 0755), 0);
  ASSERT_EQ(symlink(kept.c_str(), (share_ + "/c/mounts").c_str()), 0);
  const auto tree = CloneBind("c", 0, Dir("src"), {});
  ASSERT_TRUE(tree);
  EXPECT_FALSE(AttachToShare(share_, server_->pidfd(), {&*tree, 1}));
  EXPECT_TRUE(UnshareContainer(share_, "c"));
  EXPECT_FALSE(std::filesystem::exists(share_ + "/c"));
  ASSERT_EQ(symlink(root_.c_str(), (share_ + "/kept").c_str()), 0);
  EXPECT_TRUE(UnshareContainer(share_, "kept"));
  EXPECT_EQ(ReadFrom(kept + "/0"), "x");
}

TEST_F(Sharing, APipeInTheGuestsPlaceKeepsNobodyWaiting) {
  ASSERT_EQ(mkdir((share_ + "/c").c_str(), 0755), 0);
  ASSERT_EQ(mkdir((share_ + "/c/mounts").c_str(), 0755), 0);
  ASSERT_EQ(mkfifo((share_ + "/c/mounts/0").c_str(), 0644), 0);
  WriteTo(root_ + "/hosts", "127.0.0.1");
  Bind(0, root_ + "/hosts", {});
  EXPECT_EQ(ReadFrom(server_->In("c/mounts/0")), "127.0.0.1");
  EXPECT_TRUE(UnshareContainer(share_, "c"));
}

TEST_F(Sharing, FileBindAndCleanUpTwice) {
  WriteTo(root_ + "/hosts", "127.0.0.1");
  Bind(3, root_ + "/hosts", {});
  EXPECT_EQ(ReadFrom(server_->In("c/mounts/3")), "127.0.0.1");
  EXPECT_TRUE(UnshareContainer(share_, "c"));
  server_->Kill();
  EXPECT_TRUE(UnmountTree(share_));
  EXPECT_TRUE(UnmountTree(share_));
  ASSERT_EQ(rmdir(share_.c_str()), 0);
  EXPECT_TRUE(UnshareContainer(share_, "c")) << "with the share gone";
  EXPECT_EQ(ReadFrom(root_ + "/hosts"), "127.0.0.1");
}

TEST_F(Sharing, AMountIsFoundByAnyNameOfItsPath) {
  server_->Kill();
  ASSERT_EQ(symlink(root_.c_str(), Dir("links").append("/root").c_str()), 0);
  EXPECT_TRUE(UnmountTree(root_ + "/links/root/share/"));
  EXPECT_EQ(rmdir(share_.c_str()), 0) << strerror(errno);
}

TEST_F(Sharing, AServerElsewhereOrGoneIsSaidSo) {
  const auto tree = CloneBind("c", 0, Dir("src"), {});
  ASSERT_TRUE(tree);
  const base::UniqueFd self(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
  const auto elsewhere = AttachToShare(share_, self, {&*tree, 1});
  ASSERT_FALSE(elsewhere);
  EXPECT_EQ(elsewhere.error().code(), base::Code::kFailedPrecondition);
  server_->Kill();
  const auto gone = AttachToShare(share_, server_->pidfd(), {&*tree, 1});
  ASSERT_FALSE(gone);
  EXPECT_THAT(gone.error().Message(), ::testing::HasSubstr("mount namespace"));
  EXPECT_TRUE(UnshareContainer(share_, "c"));
}

}  // namespace
}  // namespace storage
