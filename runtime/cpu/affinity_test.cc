#include "runtime/cpu/affinity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>

namespace cpu {
namespace {

// A thread of this process under a name, until destroyed.
class Named {
 public:
  explicit Named(const char* name)
      : thread_([this, name] {
          pthread_setname_np(pthread_self(), name);
          tid_ = static_cast<pid_t>(syscall(SYS_gettid));
          tid_.notify_all();
          done_.wait(false);
        }) {
    tid_.wait(0);
  }
  ~Named() {
    done_ = true;
    done_.notify_all();
    thread_.join();
  }
  pid_t tid() const { return tid_; }

 private:
  std::atomic<pid_t> tid_ = 0;
  std::atomic<bool> done_ = false;
  std::thread thread_;  // last: it uses the others
};

TEST(AffinityTest, FindsVcpuThreadsInOrder) {
  const Named one("vcpu1"), other("worker"), zero("vcpu0"), like("vcpus"), padded("vcpu01");
  const auto threads = VcpuThreads(getpid(), 2);
  ASSERT_TRUE(threads) << threads.error().Message();
  EXPECT_THAT(*threads, ::testing::ElementsAre(zero.tid(), one.tid()));
  const auto others = OtherThreads(getpid());
  ASSERT_TRUE(others);
  EXPECT_THAT(*others, ::testing::IsSupersetOf({getpid(), other.tid(), like.tid(), padded.tid()}));
  EXPECT_THAT(*others, ::testing::Not(::testing::Contains(zero.tid())));
}

TEST(AffinityTest, MissingDoubledAndSurplusVcpusAreErrors) {
  const Named zero("vcpu0");
  const auto missing = VcpuThreads(getpid(), 2);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), base::Code::kNotFound);
  EXPECT_THAT(missing.error().Message(), ::testing::HasSubstr("vcpu1"));
  const auto surplus = VcpuThreads(getpid(), 0);
  ASSERT_FALSE(surplus);
  EXPECT_EQ(surplus.error().code(), base::Code::kFailedPrecondition);
  const Named doubled("vcpu0");
  EXPECT_FALSE(VcpuThreads(getpid(), 1));
}

TEST(AffinityTest, SetsAndReadsBack) {
  const auto allowed = GetAffinity(0);
  ASSERT_TRUE(allowed);
  const Named thread("vcpu0");
  const CpuSet one{*std::prev(allowed->end())};
  ASSERT_TRUE(SetAndVerify(thread.tid(), one));
  EXPECT_EQ(*GetAffinity(thread.tid()), one);
  EXPECT_TRUE(Verify(thread.tid(), one));
  EXPECT_FALSE(Verify(thread.tid(), CpuSet{one.first(), 8191}));
  // Only this thread.
  EXPECT_EQ(*GetAffinity(0), *allowed);
}

TEST(AffinityTest, AMaskThatShrinksIsAnError) {
  // CPU 8191 exists nowhere: the kernel drops it from the mask and reports success.
  const auto allowed = GetAffinity(0);
  ASSERT_TRUE(allowed);
  const Named thread("vcpu0");
  const auto shrunk = SetAndVerify(thread.tid(), CpuSet{allowed->first(), 8191});
  ASSERT_FALSE(shrunk);
  EXPECT_EQ(shrunk.error().code(), base::Code::kFailedPrecondition);
  const auto empty = SetAndVerify(thread.tid(), CpuSet{8191});
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().error_number(), EINVAL);
}

TEST(AffinityTest, WithoutPinsAMaskMayShrinkToWhatIsAllowedAndToNothingElse) {
  const auto allowed = GetAffinity(0);
  ASSERT_TRUE(allowed);
  const Named thread("vcpu0");
  // As above, CPU 8191 plays the one that a cpuset does not leave.
  const CpuSet wanted = allowed->Union(CpuSet{8191});
  EXPECT_TRUE(SetAsAllowed(thread.tid(), *allowed, CpuSet{}));
  EXPECT_TRUE(SetAsAllowed(thread.tid(), wanted, *allowed));
  const auto narrower = SetAsAllowed(thread.tid(), wanted, wanted);
  ASSERT_FALSE(narrower);
  EXPECT_EQ(narrower.error().code(), base::Code::kFailedPrecondition);
  EXPECT_EQ(SetAsAllowed(thread.tid(), CpuSet{8191}, *allowed).error().error_number(), EINVAL);
}

TEST(AffinityTest, AProcessThatIsGoneIsAnError) {
  EXPECT_FALSE(VcpuThreads(0x3fffffff, 1));
  EXPECT_FALSE(GetAffinity(0x3fffffff));
}

TEST(AffinityTest, AProcessMovesWithItsChildrenButNotItsVcpus) {
  const auto all = GetAffinity(0);
  ASSERT_TRUE(all);
  if (all->size() < 2) GTEST_SKIP() << "needs two CPUs";
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t process = fork();
  if (process == 0) {
    const pid_t child = fork();
    if (child == 0) pause();
    const Named vcpu("vcpu0");
    const pid_t pids[] = {child, vcpu.tid()};
    if (write(ready[1], pids, sizeof pids) != sizeof pids) _exit(1);
    pause();
  }
  pid_t pids[2] = {};
  ASSERT_EQ(read(ready[0], pids, sizeof pids), static_cast<ssize_t>(sizeof pids));
  const CpuSet one{all->first()};
  const auto moved = MoveProcess(process, one);
  EXPECT_TRUE(moved) << moved.error().Message();
  EXPECT_EQ(*GetAffinity(process), one);
  EXPECT_EQ(*GetAffinity(pids[0]), one);
  EXPECT_EQ(*GetAffinity(pids[1]), *all);
  kill(pids[0], SIGKILL);
  kill(process, SIGKILL);
  ASSERT_EQ(waitpid(process, nullptr, 0), process);
  EXPECT_TRUE(MoveProcess(process, one));  // gone: nothing to do
  close(ready[0]);
  close(ready[1]);
}

}  // namespace
}  // namespace cpu
