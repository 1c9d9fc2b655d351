#include "runtime/pod/state_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/base/file.h"
#include "runtime/pod/clean_up.h"
#include "runtime/pod/pod.h"
#include "runtime/storage/share.h"
#include "runtime/storage/unmount.h"

namespace pod {
namespace {

namespace fs = std::filesystem;

TEST(CheckId, TakesContainerdsIdsOnly) {
  for (const char* good : {"a", "t1", "e2e-out.put_1", "0"}) EXPECT_TRUE(CheckId("id", good));
  for (const char* bad : {"", ".", "..", "-a", "a/b", "a b", "ä", "a\n"}) {
    EXPECT_FALSE(CheckId("id", bad)) << bad;
  }
  EXPECT_TRUE(CheckId("id", std::string(76, 'x')));
  EXPECT_FALSE(CheckId("id", std::string(77, 'x')));
}

TEST(Record, ComesBackAsWritten) {
  Record record;
  record.uid = 1900000007;
  record.processes.push_back({"vmm", 42, 123456});
  record.processes.push_back({"anchor", 43, 7});
  record.cgroups.emplace_back("/default/t1");
  record.cgroups.emplace_back("/a b");
  record.rootfs["t1"] = "/run/a b/rootfs";
  record.network = {"/run/netns/a b", 4026532000, {"eth0", "net1"}};
  const auto parsed = ParseRecord(FormatRecord(record));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(*parsed, record);
}

TEST(Record, RejectsWhatItDoesNotWriteAndPassesOverWhatIsNewer) {
  EXPECT_FALSE(ParseRecord("process vmm 1 5\n")) << "pid 1 is nobody's vmm";
  EXPECT_FALSE(ParseRecord("process vmm -4 5\n"));
  EXPECT_FALSE(ParseRecord("process vmm x\n"));
  EXPECT_FALSE(ParseRecord("uid x\n"));
  EXPECT_FALSE(ParseRecord("rootfs t1\n"));
  EXPECT_FALSE(ParseRecord("cgroup\n"));
  EXPECT_FALSE(ParseRecord("netns x /run/netns/a\n"));
  EXPECT_FALSE(ParseRecord("netns 7\n"));
  EXPECT_FALSE(ParseRecord("link eth0\n")) << "of no namespace";
  EXPECT_TRUE(ParseRecord("pin 3-4\n"));
}

class StateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (unshare(CLONE_NEWNS) != 0) GTEST_SKIP() << "no private mount namespace: needs root";
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    char path[] = "/tmp/state_test.XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    dir_ = path;
    run_ = dir_ + "/run";
    bundle_ = dir_ + "/bundle";
    fs::create_directories(bundle_);
    ASSERT_TRUE(base::WriteFileAtomic(bundle_ + "/" + kRunDirFile, run_));
  }
  void TearDown() override {
    if (dir_.empty()) return;
    EXPECT_TRUE(storage::UnmountTree(dir_));
    fs::remove_all(dir_);
  }
  static constexpr StateDirectory::Uids kTwo{1900000000, 2};
  std::string dir_;
  std::string run_;
  std::string bundle_;
};

TEST_F(StateTest, UidsAreUniqueAndComeBack) {
  auto a = StateDirectory::Make(run_, "ns", "a", kTwo);
  auto b = StateDirectory::Make(run_, "ns", "b", kTwo);
  ASSERT_TRUE(a && b);
  EXPECT_NE(a->record().uid, b->record().uid);
  const auto c = StateDirectory::Make(run_, "ns", "c", kTwo);
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().code(), base::Code::kResourceExhausted);
  EXPECT_FALSE(fs::exists(run_ + "/ns/c"));
  ASSERT_TRUE(a->Remove());
  EXPECT_TRUE(StateDirectory::Make(run_, "ns", "c", kTwo));
}

TEST_F(StateTest, SamePodTwiceIsRefused) {
  ASSERT_TRUE(StateDirectory::Make(run_, "ns", "a", kTwo));
  const auto again = StateDirectory::Make(run_, "ns", "a", kTwo);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), base::Code::kAlreadyExists);
}

TEST_F(StateTest, OwnDirectoriesAreNoNamespaces) {
  EXPECT_FALSE(StateDirectory::Make(run_, "uids", "a", kTwo));
  EXPECT_FALSE(StateDirectory::Make(run_, "..", "a", kTwo));
  EXPECT_FALSE(StateDirectory::Make(run_, "ns", "a/b", kTwo));
}

TEST_F(StateTest, RemovingLeavesNothingButTheLock) {
  auto a = StateDirectory::Make(run_, "ns", "a", kTwo);
  ASSERT_TRUE(a);
  ASSERT_TRUE(base::WriteFileAtomic(a->console(), "x"));
  ASSERT_TRUE(a->Remove());
  EXPECT_TRUE(a->Remove()) << "twice";
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(run_)) left.push_back(entry.path().filename());
  EXPECT_THAT(left, ::testing::ElementsAre("lock"));
}

TEST_F(StateTest, CleanUpAfterACrash) {
  auto state = StateDirectory::Make(run_, "ns", "a", kTwo);
  ASSERT_TRUE(state);
  fs::create_directories(dir_ + "/image");
  ASSERT_TRUE(base::WriteFileAtomic(dir_ + "/image/file", "kept"));
  fs::create_directories(bundle_ + "/rootfs");
  ASSERT_TRUE(storage::MakeShare(state->share()));
  ASSERT_TRUE(storage::AttachClone(dir_ + "/image", bundle_ + "/rootfs", {}));
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  state->record().rootfs["a"] = bundle_ + "/rootfs";
  const base::Result<ProcessRecord> described = DescribeProcess("vmm", child);
  ASSERT_TRUE(described);
  state->record().processes.push_back(*described);
  ASSERT_TRUE(state->Save());

  const auto cleaned = CleanUp("ns", "a", bundle_);
  ASSERT_TRUE(cleaned) << cleaned.error().Message();
  EXPECT_EQ(cleaned->exit_status, 137U);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(fs::exists(run_ + "/ns"));
  EXPECT_TRUE(fs::is_empty(bundle_ + "/rootfs"));
  EXPECT_TRUE(fs::exists(dir_ + "/image/file"));
  EXPECT_TRUE(CleanUp("ns", "a", bundle_)) << "twice";
  EXPECT_TRUE(CleanUp("ns", "never-was", bundle_));
}

TEST_F(StateTest, ReusedPidIsLeftAlone) {
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  const base::Result<ProcessRecord> described = DescribeProcess("vmm", child);
  ASSERT_TRUE(described);
  ProcessRecord record = *described;
  record.start_ticks -= 1;
  EXPECT_TRUE(EndProcess(record));
  EXPECT_EQ(kill(child, 0), 0);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(EndProcess(record)) << "gone";
}

}  // namespace
}  // namespace pod
