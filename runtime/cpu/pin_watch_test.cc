#include "runtime/cpu/pin_watch.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/base/file.h"
#include "runtime/cpu/pin_registry.h"

namespace cpu {
namespace {

class PinWatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/pinion-watch.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void Watch() {
    auto watch = PinWatch::Create(*loop_, root_ + "/cpus", [this] { ++changes_; });
    ASSERT_TRUE(watch) << watch.error().Message();
    watch_ = std::move(*watch);
  }
  // All that has happened already; nothing is waited for.
  int Changes() {
    const int before = changes_;
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(loop_->RunOnce(std::chrono::milliseconds(0)));
    return changes_ - before;
  }
  void Claim(const std::string& pod) {
    ASSERT_TRUE(PinRegistry(root_ + "/cpus").Claim(pod, [](const PinRegistry::View&) {
      return base::Result<CpuSet>(CpuSet{1});
    }));
  }
  void Release(const std::string& pod) { ASSERT_TRUE(PinRegistry(root_ + "/cpus").Release(pod)); }
  std::string root_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<PinWatch> watch_;
  int changes_ = 0;
};

TEST_F(PinWatchTest, HearsOfRecordsThoughTheDirectoryComesAndGoes) {
  Watch();
  EXPECT_EQ(Changes(), 0);
  for (int round = 0; round < 3; ++round) {
    Claim("default/a");
    EXPECT_GT(Changes(), 0) << round;
    Claim("default/b");
    EXPECT_GT(Changes(), 0) << round;
    Release("default/a");
    EXPECT_GT(Changes(), 0) << round;
    Release("default/b");
    EXPECT_GT(Changes(), 0) << round;
    EXPECT_EQ(Changes(), 0) << round;
  }
}

TEST_F(PinWatchTest, ADirectoryThatIsThereIsWatchedFromTheStart) {
  Claim("default/a");
  Watch();
  EXPECT_EQ(Changes(), 0);
  Claim("default/b");
  EXPECT_GT(Changes(), 0);
}

TEST_F(PinWatchTest, OtherThingsBesideItAreNoChange) {
  Watch();
  ASSERT_TRUE(base::MakeDirectories(root_ + "/default/pod"));
  ASSERT_TRUE(base::WriteFileAtomic(root_ + "/lock", ""));
  EXPECT_EQ(Changes(), 0);
}

TEST_F(PinWatchTest, AMissingParentIsAnError) {
  EXPECT_FALSE(PinWatch::Create(*loop_, root_ + "/none/cpus", [] {}));
}

}  // namespace
}  // namespace cpu
