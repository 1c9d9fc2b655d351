// Placement against this machine's cgroups and masks, with a process that has a vmm's threads.
#include "runtime/pod/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "runtime/base/file.h"
#include "runtime/base/process_tree.h"
#include "runtime/cgroup/hierarchy.h"
#include "runtime/cpu/affinity.h"

namespace pod {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

// A "vmm": its vCPU thread makes one more when told, as KVM does on the first KVM_RUN; a child
// stands for what a file server starts.
class FakeVmm {
 public:
  FakeVmm() {
    EXPECT_EQ(pipe2(orders_, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(answers_, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) Run();
    Answer();
  }
  ~FakeVmm() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    for (const int fd : {orders_[0], orders_[1], answers_[0], answers_[1]}) close(fd);
  }
  FakeVmm(const FakeVmm&) = delete;
  FakeVmm& operator=(const FakeVmm&) = delete;

  pid_t pid() const { return pid_; }
  void MakeLateThread() {
    EXPECT_EQ(write(orders_[1], "x", 1), 1);
    Answer();
  }

 private:
  void Answer() {
    char byte = 0;
    EXPECT_EQ(read(answers_[0], &byte, 1), 1);
  }
  void Say() const {
    if (write(answers_[1], "x", 1) != 1) _exit(1);
  }
  [[noreturn]] void Run() const {
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      Sleep();
    }
    std::thread vcpu([this] {
      pthread_setname_np(pthread_self(), "vcpu0");
      Say();
      char byte = 0;
      if (read(orders_[0], &byte, 1) != 1) _exit(1);
      std::thread late([this] {
        pthread_setname_np(pthread_self(), "late");
        Say();
        Sleep();
      });
      late.join();
    });
    Sleep();
  }
  [[noreturn]] static void Sleep() {
    while (true) pause();
  }

  int orders_[2], answers_[2];
  pid_t pid_ = -1;
};

class PlacementTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto host = cgroup::Hierarchies::Host();
    const cgroup::Hierarchy* v1 = host.V1("cpuset");
    const std::string probe = (v1 ? v1->mount_point : "/sys/fs/cgroup") + parent_;
    std::error_code error;
    if (geteuid() != 0 || !fs::create_directory(probe, error)) {
      GTEST_SKIP() << "no cgroup can be made on this machine";
    }
    const auto mask = cpu::GetAffinity(0);
    ASSERT_TRUE(mask);
    if (mask->size() < 2) GTEST_SKIP() << "needs two CPUs";
    mask_ = *mask;
    std::string pattern = ::testing::TempDir() + "/placement.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    config_.paths.run_dir = root_;
    config_.cpu.core_scheduling = false;
    spec_.linux_config.cgroups_path = parent_ + "/pod";
  }
  void TearDown() override {
    EXPECT_TRUE(cgroup::PodCgroup::RemoveAt(parent_ + "/pod", ""));
    const auto host = cgroup::Hierarchies::Host();
    for (const cgroup::Hierarchy& hierarchy : host.all()) {
      rmdir((hierarchy.mount_point + parent_).c_str());
    }
    // This process is the shim, whose threads have moved as well.
    if (!mask_.empty()) {
      EXPECT_TRUE(cpu::MoveProcess(getpid(), mask_, /*children=*/false));
    }
    if (!root_.empty()) fs::remove_all(root_);
  }
  std::unique_ptr<Placement> Made(const oci::CpuLimits& cpu) {
    spec_.linux_config.resources.cpu = cpu;
    auto placement = Placement::Plan(config_, spec_, "default/pod", "pod");
    EXPECT_TRUE(placement) << placement.error().Trail();
    for (const auto& done :
         {(*placement)->Claim(root_ + "/plan.json"), (*placement)->MakeCgroups()}) {
      EXPECT_TRUE(done) << done.error().Trail();
    }
    return std::move(*placement);
  }
  // Leaves and pod have `cpus` and no others; false if there is no controller for it.
  bool Restrict(const cpu::CpuSet& cpus) const {
    const auto host = cgroup::Hierarchies::Host();
    const cgroup::Hierarchy* v1 = host.V1("cpuset");
    const std::string parent = (v1 ? v1->mount_point : "/sys/fs/cgroup") + parent_;
    bool done = true;
    // A parent has what its children have: widened first, narrowed last.
    std::vector<std::string> order = {"", "/pod", "/pod/vmm", "/pod/vcpu"};
    if (!cpus.ContainsAll(mask_)) std::reverse(order.begin(), order.end());
    for (const std::string& group : order) {
      done = base::WriteFile(parent + group + "/cpuset.cpus", cpus.ToString()).has_value() && done;
    }
    return done;
  }
  static pid_t ThreadNamed(pid_t pid, const std::string& name) {
    for (const auto& task : fs::directory_iterator(fmt::format("/proc/{}/task", pid))) {
      const auto comm = base::ReadFile(task.path().string() + "/comm");
      if (comm && *comm == name + "\n") return std::stoi(task.path().filename());
    }
    ADD_FAILURE() << "no thread " << name;
    return -1;
  }
  // Of the cpuset controller, of either version.
  static std::string CgroupOf(pid_t pid, pid_t tid) {
    const auto text = base::ReadFile(fmt::format("/proc/{}/task/{}/cgroup", pid, tid));
    EXPECT_TRUE(text);
    std::string unified;
    for (size_t at = 0; text && at < text->size();) {
      const size_t end = text->find('\n', at);
      const std::string line = text->substr(at, end - at);
      at = end + 1;
      const std::string path = line.substr(line.rfind(':') + 1);
      if (line.find(":cpuset:") != std::string::npos) return path;
      if (line.starts_with("0::")) unified = path;
    }
    return unified;
  }
  static cpu::CpuSet MaskOf(pid_t tid) {
    const auto mask = cpu::GetAffinity(tid);
    EXPECT_TRUE(mask);
    return mask ? *mask : cpu::CpuSet();
  }

  const std::string parent_ = fmt::format("/pinion-unit-test-{}", getpid());
  std::string root_;
  cpu::CpuSet mask_;
  config::Config config_;
  oci::Spec spec_;
};

TEST_F(PlacementTest, WhatTheMachineIsMadeOfJoinsItsPod) {
  const std::unique_ptr<Placement> placement = Made({});
  const FakeVmm vmm;
  const auto joined = placement->Join({vmm.pid()});
  ASSERT_TRUE(joined) << joined.error().Trail();
  const std::vector<pid_t> children = base::ChildrenOf(vmm.pid());
  ASSERT_EQ(children.size(), 1u);
  EXPECT_THAT(CgroupOf(vmm.pid(), vmm.pid()), HasSubstr(parent_ + "/pod"));
  EXPECT_THAT(CgroupOf(children[0], children[0]), HasSubstr(parent_ + "/pod"));
  // The memory of both is the pod's, too: a process is in one cgroup of each hierarchy, whole.
  for (const pid_t pid : {vmm.pid(), children[0]}) {
    const auto where = base::ReadFile(fmt::format("/proc/{}/cgroup", pid));
    ASSERT_TRUE(where);
    if (where->find(":memory:") == std::string::npos) continue;
    EXPECT_THAT(*where, HasSubstr(":memory:" + parent_ + "/pod\n"));
  }
}

TEST_F(PlacementTest, AVcpuIsAloneWhereItIsPinnedAndLaterThreadsAreFetchedBack) {
  const uint32_t last = *std::prev(mask_.end());
  const std::unique_ptr<Placement> placement = Made({.cpus = std::to_string(last)});
  ASSERT_EQ(placement->plan().mode, cpu::Mode::kPinned);
  const cpu::CpuSet housekeeping = placement->plan().housekeeping;
  EXPECT_FALSE(housekeeping.Contains(last));
  FakeVmm vmm;
  ASSERT_TRUE(placement->Join({vmm.pid()}));
  const auto placed = placement->Place(vmm.pid(), {});
  ASSERT_TRUE(placed) << placed.error().Trail();
  const pid_t vcpu = ThreadNamed(vmm.pid(), "vcpu0");
  EXPECT_EQ(MaskOf(vcpu), cpu::CpuSet{last});
  EXPECT_THAT(CgroupOf(vmm.pid(), vcpu), EndsWith("/vcpu"));
  EXPECT_EQ(MaskOf(vmm.pid()), housekeeping);
  EXPECT_THAT(CgroupOf(vmm.pid(), vmm.pid()), Not(EndsWith("/vcpu")));
  EXPECT_EQ(MaskOf(getpid()), housekeeping);

  vmm.MakeLateThread();
  const pid_t late = ThreadNamed(vmm.pid(), "late");
  EXPECT_EQ(MaskOf(late), cpu::CpuSet{last});  // else the test shows nothing
  EXPECT_THAT(CgroupOf(vmm.pid(), late), EndsWith("/vcpu"));
  const auto limited = placement->Limit();
  ASSERT_TRUE(limited) << limited.error().Trail();
  EXPECT_EQ(MaskOf(late), housekeeping);
  EXPECT_THAT(CgroupOf(vmm.pid(), late), Not(EndsWith("/vcpu")));
  EXPECT_EQ(MaskOf(vcpu), cpu::CpuSet{last});
}

// As after a CPU has come back to a host of cgroup v1.
TEST_F(PlacementTest, APlanThatCannotBePutInForceAgainSaysSo) {
  const uint32_t last = *std::prev(mask_.end());
  const std::unique_ptr<Placement> placement = Made({.cpus = std::to_string(last)});
  const FakeVmm vmm;
  ASSERT_TRUE(placement->Join({vmm.pid()}));
  ASSERT_TRUE(placement->Place(vmm.pid(), {}));
  const auto plan = [this]() -> std::string {
    const auto text = base::ReadFile(root_ + "/plan.json");
    return text ? *text : "";
  };
  ASSERT_TRUE(placement->Follow());
  EXPECT_THAT(plan(), AllOf(HasSubstr("pinned"), Not(HasSubstr("plan_not_in_force"))));
  if (!Restrict(mask_.Without({last}))) GTEST_SKIP() << "no cpuset controller on this machine";
  EXPECT_FALSE(placement->Follow());
  EXPECT_THAT(plan(), HasSubstr("plan_not_in_force"));
  ASSERT_TRUE(Restrict(mask_));
  const auto followed = placement->Follow();
  EXPECT_TRUE(followed) << followed.error().Trail();
  EXPECT_THAT(plan(), Not(HasSubstr("plan_not_in_force")));
}

TEST(MemoryLimit, AboveTheMachinesRamIsRefused) {
  constexpr int64_t kMib = 1 << 20;
  oci::Resources asked;
  EXPECT_TRUE(CheckMemoryLimit(asked, "", 192));
  oci::MemoryLimits& memory = asked.memory.emplace();
  EXPECT_TRUE(CheckMemoryLimit(asked, "", 192));
  for (const int64_t limit : {int64_t{-1}, int64_t{0}, int64_t{1}, 192 * kMib}) {
    memory.limit = limit;
    EXPECT_TRUE(CheckMemoryLimit(asked, "", 192)) << limit;
  }
  memory.limit = 192 * kMib + 1;
  const auto refused = CheckMemoryLimit(asked, "", 192);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::Code::kFailedPrecondition);
  EXPECT_THAT(refused.error().Message(),
              HasSubstr("memory.limit 201326593: the machine has 201326592 bytes"));
  EXPECT_THAT(refused.error().Message(), HasSubstr("io.kubernetes.cri.sandbox-memory"));
}

// An update of CPUs by CRI, of a container that came with more than its pod said it would.
TEST(MemoryLimit, OneThatTheContainerCameWithMayBeRepeated) {
  oci::Spec spec;
  spec.oci_version = "1.2.0";
  spec.process.emplace();
  spec.process->args = {"true"};
  spec.process->cwd = "/";
  spec.root.emplace();
  spec.root->path = "rootfs";
  spec.linux_config.resources.memory.emplace().limit = int64_t{1} << 30;
  oci::Resources asked = spec.linux_config.resources;
  EXPECT_TRUE(CheckMemoryLimit(asked, oci::Serialise(spec), 192));
  asked.memory->limit = (int64_t{1} << 30) + 1;
  EXPECT_FALSE(CheckMemoryLimit(asked, oci::Serialise(spec), 192));
}

TEST_F(PlacementTest, AMachineWithoutItsVcpusIsRefused) {
  const std::unique_ptr<Placement> placement = Made({.quota_us = 200000});
  const FakeVmm vmm;
  ASSERT_TRUE(placement->Join({vmm.pid()}));
  const auto placed = placement->Place(vmm.pid(), {});
  ASSERT_FALSE(placed);
  EXPECT_THAT(placed.error().Message(), HasSubstr("vcpu1"));
}

}  // namespace
}  // namespace pod
