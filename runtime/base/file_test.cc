#include "runtime/base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace base {
namespace {

namespace fs = std::filesystem;

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/pinion-file.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }
  std::string root_;
};

TEST_F(FileTest, WholeFilesUpToTheLimit) {
  ASSERT_TRUE(WriteFileAtomic(root_ + "/f", "12345", 0600));
  EXPECT_EQ(*ReadFile(root_ + "/f", 5), "12345");
  EXPECT_EQ(ReadFile(root_ + "/f", 4).error().code(), Code::kOutOfRange);
  EXPECT_EQ(ReadFile(root_ + "/none").error().code(), Code::kNotFound);
  struct stat status {};
  ASSERT_EQ(stat((root_ + "/f").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(FileTest, AtomicReplacementLeavesNothingBehindWhenItFails) {
  ASSERT_TRUE(WriteFileAtomic(root_ + "/f", "old"));
  ASSERT_TRUE(MakeDirectories(root_ + "/d/e"));
  EXPECT_FALSE(WriteFileAtomic(root_ + "/d", "x"));  // a directory stands there
  EXPECT_FALSE(WriteFileAtomic(root_ + "/none/f", "x"));
  ASSERT_TRUE(WriteFileAtomic(root_ + "/f", "new"));
  EXPECT_EQ(*ReadFile(root_ + "/f"), "new");
  size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(root_)) ++entries;
  EXPECT_EQ(entries, 2u);
}

TEST_F(FileTest, WriteFileNeverCreates) {
  EXPECT_EQ(WriteFile(root_ + "/none", "x").error().code(), Code::kNotFound);
  const auto full = WriteFile("/dev/full", "x");
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().error_number(), ENOSPC);
}

TEST_F(FileTest, MakeDirectoriesIsIdempotentAndSeesFilesInTheWay) {
  EXPECT_TRUE(MakeDirectories(root_ + "/a/b/c"));
  EXPECT_TRUE(MakeDirectories(root_ + "/a/b/c"));
  ASSERT_TRUE(WriteFileAtomic(root_ + "/file", ""));
  EXPECT_FALSE(MakeDirectories(root_ + "/file/x"));
}

TEST_F(FileTest, OpenInRootCannotLeave) {
  ASSERT_TRUE(MakeDirectories(root_ + "/in/etc"));
  ASSERT_TRUE(WriteFileAtomic(root_ + "/in/etc/passwd", "mine"));
  ASSERT_TRUE(WriteFileAtomic(root_ + "/secret", "host's"));
  fs::create_symlink("/etc/passwd", root_ + "/in/absolute");
  fs::create_symlink("../../../../../../etc/passwd", root_ + "/in/relative");
  fs::create_symlink("/proc/self/root", root_ + "/in/magic");
  const auto root = Open(root_ + "/in", O_PATH | O_DIRECTORY);
  ASSERT_TRUE(root);
  for (const char* path : {"absolute", "relative", "/etc/passwd", "../etc/passwd"}) {
    const auto fd = OpenInRoot(*root, path, O_RDONLY);
    ASSERT_TRUE(fd) << path;
    EXPECT_EQ(*ReadAll(*fd, 100), "mine") << path;
    EXPECT_TRUE(fcntl(fd->get(), F_GETFD) & FD_CLOEXEC);
  }
  EXPECT_FALSE(OpenInRoot(*root, "../secret", O_RDONLY));
  EXPECT_FALSE(OpenInRoot(*root, "magic/etc/passwd", O_RDONLY));
}

}  // namespace
}  // namespace base
