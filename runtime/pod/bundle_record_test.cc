#include "runtime/pod/bundle_record.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <string>

#include "runtime/base/file.h"

namespace pod {
namespace {

namespace fs = std::filesystem;

class BundleRecordTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/bundle_record_test.XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    bundle_ = path;
    killed_.pid = 5;
    killed_.exit_status = 137;
    killed_.exited_at = {1000, 1};
  }
  void TearDown() override { fs::remove_all(bundle_); }

  void Put(const char* name, const std::string& text) {
    ASSERT_TRUE(base::WriteFileAtomic(bundle_ + "/" + name, text));
  }
  // What no record could be read of.
  void ExpectKilled() const {
    const DeleteInfo info = InfoFromBundle(bundle_, killed_);
    EXPECT_EQ(info.pid, 5);
    EXPECT_EQ(info.exit_status, 137u);
    EXPECT_EQ(info.exited_at.tv_sec, 1000);
  }

  std::string bundle_;
  DeleteInfo killed_;
};

TEST_F(BundleRecordTest, WithoutARecordWhatIsKnownOtherwise) {
  ExpectKilled();
  const std::string none = bundle_ + "/none";
  EXPECT_EQ(InfoFromBundle(none, killed_).pid, 5);
  EXPECT_FALSE(RecordInit(none, 7));
  EXPECT_FALSE(RecordExit(none, {}));
}

TEST_F(BundleRecordTest, AnInitThatRanWasKilled) {
  ASSERT_TRUE(RecordInit(bundle_, 4321));
  EXPECT_EQ(base::ReadFile(bundle_ + "/init.pid").value_or(""), "4321");
  const DeleteInfo info = InfoFromBundle(bundle_, killed_);
  EXPECT_EQ(info.pid, 4321);
  EXPECT_EQ(info.exit_status, 137u);
  EXPECT_EQ(info.exited_at.tv_sec, 1000);
}

TEST_F(BundleRecordTest, AnExitComesBackWhole) {
  ASSERT_TRUE(RecordInit(bundle_, 4321));
  ASSERT_TRUE(RecordExit(
      bundle_, {.pid = 4321, .exit_status = 3, .exited_at = {1'795'000'000, 999'999'999}}));
  const DeleteInfo info = InfoFromBundle(bundle_, killed_);
  EXPECT_EQ(info.pid, 4321);
  EXPECT_EQ(info.exit_status, 3u);
  EXPECT_EQ(info.exited_at.tv_sec, 1'795'000'000);
  EXPECT_EQ(info.exited_at.tv_nsec, 999'999'999);
  EXPECT_EQ(std::distance(fs::directory_iterator(bundle_), fs::directory_iterator()), 2)
      << "nothing but the two files";
}

TEST_F(BundleRecordTest, ANewInitForgetsAnOldExit) {
  ASSERT_TRUE(RecordExit(bundle_, {.pid = 1, .exit_status = 0, .exited_at = {1, 0}}));
  ASSERT_TRUE(RecordInit(bundle_, 4321));
  const DeleteInfo info = InfoFromBundle(bundle_, killed_);
  EXPECT_EQ(info.pid, 4321);
  EXPECT_EQ(info.exit_status, 137u);
}

TEST_F(BundleRecordTest, PassesOverWhatItDidNotWrite) {
  for (const std::string& text :
       {std::string(), std::string("x"), std::string("0"), std::string("-1"),
        std::string("4194305"), std::string("1 2"), std::string("99999999999999999999"),
        std::string(100'000, '1'), std::string("1\0", 2)}) {
    Put(kInitPidFile, text);
    ExpectKilled();
  }
  for (const std::string& text :
       {std::string(), std::string("3 1000"), std::string("3  1000 7"), std::string("256 1000 7"),
        std::string("-3 1000 7"), std::string("3 -1000 7"), std::string("3 1000 0"),
        std::string("3 1000 4194305"), std::string("3 1000 7 8"), std::string("3 1000 7x"),
        std::string("3 9223372036854775808 7"), std::string("31000"), std::string(100'000, ' ')}) {
    Put(kExitFile, text);
    ExpectKilled();
  }
  Put(kExitFile, "3 1000 7\n");
  EXPECT_EQ(InfoFromBundle(bundle_, killed_).exit_status, 3u);
}

}  // namespace
}  // namespace pod
