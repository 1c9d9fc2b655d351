#include "vmm/jail/jail.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>
#include <thread>

#include "runtime/base/file.h"

namespace vmm::jail {
namespace {

constexpr uid_t kUid = 64321;
constexpr int kSkipped = 77;

struct Ended {
  int status = -1;     // exit status, or -signal
  std::string output;  // of descriptor 2
};

// `child` runs in a process of its own; its return value is the exit status.
Ended InChild(const std::function<int()>& child) {
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  base::UniqueFd read_end(ends[0]);
  base::UniqueFd write_end(ends[1]);
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(write_end.get(), STDERR_FILENO);
    _exit(child());
  }
  write_end.Reset();
  Ended ended;
  ended.output = base::ReadAll(read_end, 1 << 16).value_or("");
  int status = 0;
  CHECK(waitpid(pid, &status, 0) == pid);
  ended.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return ended;
}

int Say(const std::string& text) {
  (void)!write(STDERR_FILENO, text.data(), text.size());
  return 1;
}

// Runs `inside` in a jail.
Ended InJail(const std::function<int()>& inside) {
  return InChild([&] {
    if (geteuid() != 0 || unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) != 0) return kSkipped;
    // A descriptor that must not stay.
    if (dup2(STDERR_FILENO, 99) < 0) return Say("dup2");
    auto entered = EnterJail(kUid, kUid);
    if (!entered) return Say(entered.error().Message());
    return inside();
  });
}

#define SKIP_WITHOUT_ROOT(ended) \
  if ((ended).status == kSkipped) GTEST_SKIP() << "needs root and namespaces"

TEST(EnterJail, RootIsRefused) {
  const Ended ended = InChild([] { return EnterJail(0, 5) || EnterJail(5, 0) ? 1 : 0; });
  EXPECT_EQ(ended.status, 0);
}

TEST(EnterJail, LeavesAnEmptyReadOnlyRoot) {
  const Ended ended = InJail([] {
    if (open("/proc/self/status", O_RDONLY | O_CLOEXEC) >= 0) return Say("/proc is there");
    if (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) return Say("/dev is there");
    if (open("/..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0) return Say("root is readable");
    if (open("/x", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) >= 0) return Say("root is writable");
    return 0;
  });
  SKIP_WITHOUT_ROOT(ended);
  EXPECT_EQ(ended.status, 0) << ended.output;
}

TEST(EnterJail, LeavesNoPrivilegeAndNoWayBack) {
  const Ended ended = InJail([] {
    if (getuid() != kUid || geteuid() != kUid || getgid() != kUid) return Say("ids");
    if (getgroups(0, nullptr) != 0) return Say("groups");
    if (setuid(0) == 0) return Say("became root again");
    for (int capability = 0; capability < 41; ++capability) {
      if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1) return Say("bounding set");
    }
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) return Say("dumpable");
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return Say("no_new_privs");
    if (unshare(CLONE_NEWNS) == 0) return Say("unshare");
    return 0;
  });
  SKIP_WITHOUT_ROOT(ended);
  EXPECT_EQ(ended.status, 0) << ended.output;
}

TEST(EnterJail, LeavesNoDescriptorAndNoCoreFile) {
  const Ended ended = InJail([] {
    if (fcntl(99, F_GETFD) >= 0) return Say("descriptor 99 is open");
    rlimit limit{};
    getrlimit(RLIMIT_CORE, &limit);
    if (limit.rlim_max != 0) return Say("core");
    return 0;
  });
  SKIP_WITHOUT_ROOT(ended);
  EXPECT_EQ(ended.status, 0) << ended.output;
}

TEST(ApplyFilter, OpenIsTheEndAndSaysItsNumber) {
  for (const bool vcpu : {true, false}) {
    const Ended ended = InChild([vcpu] {
      const auto applied = vcpu ? ApplyVcpuFilter() : ApplyDeviceFilter();
      if (!applied) return Say(applied.error().Message());
      open("/etc/passwd", O_RDONLY | O_CLOEXEC);
      return 0;
    });
    EXPECT_EQ(ended.status, kViolationStatus) << ended.output;
    EXPECT_NE(ended.output.find("system call " + std::to_string(SYS_openat)), std::string::npos)
        << ended.output;
  }
}

TEST(ApplyFilter, ThreadsStillWorkAndTightenThemselves) {
  const Ended ended = InChild([] {
    if (!ApplyDeviceFilter()) return 1;
    bool tightened = false;
    std::thread([&] { tightened = ApplyVcpuFilter().has_value(); }).join();
    return tightened ? 0 : 2;
  });
  EXPECT_EQ(ended.status, 0) << ended.output;
}

TEST(ApplyFilter, ForkIsTheEnd) {
  const Ended ended = InChild([] {
    if (!ApplyDeviceFilter()) return 1;
    return fork() == 0 ? 2 : 3;
  });
  EXPECT_EQ(ended.status, kViolationStatus) << ended.output;
}

}  // namespace
}  // namespace vmm::jail
