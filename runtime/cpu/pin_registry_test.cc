#include "runtime/cpu/pin_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/base/file.h"

namespace cpu {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class PinRegistryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/pinion-pins.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }

  PinRegistry registry() { return PinRegistry(root_ + "/cpus"); }
  base::Result<void> Claim(const std::string& pod, const CpuSet& cpus) {
    return registry().Claim(pod,
                            [&](const PinRegistry::View&) { return base::Result<CpuSet>(cpus); });
  }
  void Put(const std::string& name, const std::string& text) {
    ASSERT_TRUE(base::MakeDirectories(root_ + "/cpus"));
    ASSERT_TRUE(base::WriteFileAtomic(root_ + "/cpus/" + name, text));
  }
  PinRegistry::View Others(const std::string& self) {
    auto view = registry().Others(self);
    EXPECT_TRUE(view) << view.error().Message();
    return view ? std::move(*view) : PinRegistry::View();
  }
  bool Exists(const std::string& name) { return fs::exists(root_ + "/cpus/" + name); }
  std::string root_;
};

TEST_F(PinRegistryTest, OthersAreSeenAndNoPodSeesItself) {
  ASSERT_TRUE(Claim("default/a", CpuSet{2, 3}));
  ASSERT_TRUE(Claim("k8s.io/b", CpuSet{5}));
  const auto view = Others("default/a");
  ASSERT_EQ(view.pins.size(), 1u);
  EXPECT_EQ(view.pins[0].pod, "k8s.io/b");
  EXPECT_EQ(view.pins[0].cpus, CpuSet{5});
  EXPECT_EQ(Others("default/c").pins.size(), 2u);
  EXPECT_TRUE(view.notes.empty());
}

TEST_F(PinRegistryTest, APlanSeesOthersUnderTheLockAndMayRefuse) {
  ASSERT_TRUE(Claim("default/a", CpuSet{2}));
  const auto refused = registry().Claim("default/b", [](const PinRegistry::View& others) {
    EXPECT_EQ(others.pins.size(), 1u);
    return base::Result<CpuSet>(base::MakeError(base::Code::kFailedPrecondition, "taken"));
  });
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().Message(), HasSubstr("taken"));
  EXPECT_FALSE(Exists("default:b"));
}

TEST_F(PinRegistryTest, ANewClaimReplacesAndNoCpusRemove) {
  ASSERT_TRUE(Claim("default/a", CpuSet{2}));
  ASSERT_TRUE(Claim("default/a", CpuSet{4}));
  EXPECT_EQ(Others("x/x").pins.at(0).cpus, CpuSet{4});
  ASSERT_TRUE(Claim("default/a", CpuSet{}));
  EXPECT_FALSE(Exists("default:a"));
  ASSERT_TRUE(Claim("default/a", CpuSet{4}));
  EXPECT_TRUE(registry().Release("default/a"));
  EXPECT_TRUE(registry().Release("default/a"));
  EXPECT_TRUE(Others("x/x").pins.empty());
  EXPECT_FALSE(fs::exists(root_ + "/cpus"));  // the last one puts out the light
  EXPECT_TRUE(PinRegistry(root_ + "/none").Release("default/a"));
}

TEST_F(PinRegistryTest, TheRecordOfADeadOwnerIsReclaimed) {
  // A child that claims and dies without releasing, as a shim that was killed.
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(Claim("default/a", CpuSet{2}) ? 0 : 1);
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  ASSERT_EQ(info.si_status, 0);
  EXPECT_TRUE(Exists("default:a"));
  EXPECT_TRUE(Others("default/b").pins.empty());  // a zombie is dead enough
  EXPECT_FALSE(Exists("default:a"));
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
}

// Whoever looks may be the one who finds nothing left, and must not be the one who leaves a lock.
TEST_F(PinRegistryTest, NothingStaysOfARegistryThatIsEmpty) {
  ASSERT_TRUE(base::MakeDirectories(root_ + "/cpus"));
  EXPECT_TRUE(Others("default/a").pins.empty());
  EXPECT_FALSE(fs::exists(root_ + "/cpus"));
  ASSERT_TRUE(Claim("default/a", CpuSet()));
  EXPECT_FALSE(fs::exists(root_ + "/cpus"));
  Put("default:dead", "owner=999999999 1\ncpus=1\n");
  EXPECT_TRUE(Others("default/a").pins.empty());
  EXPECT_FALSE(fs::exists(root_ + "/cpus"));
}

TEST_F(PinRegistryTest, APidThatWasUsedAgainOwnsNothing) {
  Put("default:a", fmt::format("owner={} 1\ncpus=2\n", getpid()));
  EXPECT_TRUE(Others("default/b").pins.empty());
  EXPECT_FALSE(Exists("default:a"));
}

TEST_F(PinRegistryTest, ADeadHolderOfTheLockDoesNotKeepIt) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    (void)registry().Claim("default/a", [](const PinRegistry::View&) -> base::Result<CpuSet> {
      kill(getpid(), SIGKILL);
      return CpuSet();
    });
    _exit(1);
  }
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(Claim("default/b", CpuSet{1}));
}

TEST_F(PinRegistryTest, MalformedRecordsAreNotedAndLeft) {
  const std::string owner = fmt::format("owner={} {}\n", getpid(), *StartTicksOf(getpid()));
  Put("default:good", owner + "cpus=7\n");
  int bad = 0;
  for (const std::string& text : std::vector<std::string>{
           std::string(), std::string("x"), owner, owner + "cpus=", owner + "cpus=1",
           owner + "cpus=3-1\n", owner + "cpus=1000000000\n", owner + "cpus=\n",
           "owner=-1 1\ncpus=1\n", "owner=99999999999999 1\ncpus=1\n",
           std::string(kMaxPinRecordBytes + 1, '1')}) {
    Put(fmt::format("default:bad{}", bad++), text);
  }
  const auto view = Others("default/a");
  ASSERT_EQ(view.pins.size(), 1u);
  EXPECT_EQ(view.pins[0].pod, "default/good");
  EXPECT_EQ(view.notes.size(), static_cast<size_t>(bad));
  EXPECT_EQ(view.notes[0].code, "pin_record_malformed");
  EXPECT_TRUE(Exists("default:bad0"));
}

TEST_F(PinRegistryTest, LeftoversOfAnInterruptedWriteAreNoRecords) {
  Put("default:a.17.tmp", "owner=1");
  EXPECT_TRUE(Others("default/b").notes.empty());
}

}  // namespace
}  // namespace cpu
