#include "runtime/agent/child_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "runtime/agent/exec_lookup.h"
#include "runtime/agent/init_channel.h"
#include "runtime/agent/process_identity.h"
#include "runtime/agent/scheduling.h"
#include "runtime/base/file.h"
#include "runtime/base/seccomp_filter.h"

namespace agent {
namespace {

constexpr int kChannelFd = 3;

void ResetSignals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Puts 0, 1 and 2 in place, the channel and what is kept behind them, and closes all else: a copy
// of another container's pipe held here would keep its reader from ever seeing the end, and a
// descriptor of the agent's must not reach the container.
base::Result<base::UniqueFd> PlaceDescriptors(const ChildPlan& plan) {
  constexpr int kAbove = 8;  // of every number that is placed below
  const Process::ChildEnds& ends = plan.ends;
  const base::UniqueFd null = TRY(base::Open("/dev/null", O_RDWR));
  int sources[kKeptFd + 1];
  for (int fd = 0; fd < 3; ++fd) {
    const int source = ends.stdio[fd].valid() ? ends.stdio[fd].get() : null.get();
    sources[fd] = fcntl(source, F_DUPFD_CLOEXEC, kAbove);
  }
  sources[kChannelFd] = fcntl(ends.channel.get(), F_DUPFD_CLOEXEC, kAbove);
  const int kept = plan.keep.valid() ? plan.keep.get() : null.get();
  sources[kKeptFd] = fcntl(kept, F_DUPFD_CLOEXEC, kAbove);
  for (int fd = 0; fd <= kKeptFd; ++fd) {
    if (sources[fd] < 0 || dup3(sources[fd], fd, fd < kChannelFd ? 0 : O_CLOEXEC) < 0) {
      return base::ErrnoError("place descriptor {}", fd);
    }
  }
  if (syscall(SYS_close_range, kKeptFd + 1U, ~0U, 0) != 0) return base::ErrnoError("close_range");
  return base::UniqueFd(kChannelFd);
}

// So that /dev/stdout can be opened again by an unprivileged user (runc does the same). What is no
// pipe of ours, as /dev/null, keeps its owner.
void OwnStdio(const Process::ChildEnds& ends, uid_t uid) {
  for (int fd = 0; fd <= 2; ++fd) {
    struct stat status {};
    if (!ends.stdio[fd].valid() || fstat(fd, &status) != 0 || !S_ISFIFO(status.st_mode)) continue;
    [[maybe_unused]] const int ignored = fchown(fd, uid, static_cast<gid_t>(-1));
  }
}

base::Result<void> LoadProfile(const ChildPlan& plan, bool no_new_privileges) {
  if (plan.seccomp == nullptr) return base::Ok();
  base::SeccompLoadOptions options;
  options.no_new_privileges = no_new_privileges;
  options.extra_flags = plan.seccomp->flags;
  TRY(base::LoadSeccomp(plan.seccomp->instructions, options), "seccomp");
  return base::Ok();
}

std::vector<std::string> EnvironmentOf(const oci::Process& process) {
  std::vector<std::string> env = process.env;
  if (EnvironmentValue(env, "HOME").empty()) {
    const base::Result<std::string> passwd = base::ReadFile("/etc/passwd");
    env.push_back("HOME=" + HomeDirectory(process.user.uid, passwd ? *passwd : ""));
  }
  return env;
}

// Default handlers, descriptors, a session of its own.
base::Result<base::UniqueFd> BeginChild(const ChildPlan& plan) {
  ResetSignals();
  base::UniqueFd channel = TRY(PlaceDescriptors(plan));
  if (setsid() < 0) return base::ErrnoError("setsid");
  return channel;
}

// The order is runc's, and each step needs it: limits and scheduling before the user is changed;
// without no_new_privs, seccomp(2) asks for CAP_SYS_ADMIN, so it comes before the capabilities go,
// and the profile must allow setresuid, capset and the rest of this function; with it, the profile
// is loaded last (see ExecuteWhenTold).
base::Result<void> BecomeProcess(const ChildPlan& plan) {
  const oci::Process& process = plan.process;
  TRY(SetResourceLimits(process.rlimits));
  if (process.scheduler) TRY(SetScheduler(*process.scheduler), "process.scheduler");
  if (process.io_priority) TRY(SetIoPriority(*process.io_priority), "process.ioPriority");
  if (plan.personality != nullptr) TRY(SetPersonality(*plan.personality), "linux.personality");
  if (!process.terminal) OwnStdio(plan.ends, process.user.uid);
  umask(process.user.umask.value_or(0022));
  // A session keyring of its own; kernels without keys and seccomp'd hosts do without.
  syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
  if (process.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return base::ErrnoError("no_new_privs");
  }
  if (!process.no_new_privileges) TRY(LoadProfile(plan, false));
  return BecomeUser(process);
}

// Looks the program up, says so, waits for Start and execs. Returns why it could not.
base::Error ExecuteWhenTold(const ChildPlan& plan, base::BorrowedFd channel,
                            base::UniqueFd terminal) {
  const auto execute = [&]() -> base::Result<void> {
    const oci::Process& process = plan.process;
    const std::vector<std::string> env = EnvironmentOf(process);
    const std::string program = TRY(FindExecutable(process.args[0], EnvironmentValue(env, "PATH")));
    std::vector<char*> argv;
    for (const std::string& text : process.args) argv.push_back(const_cast<char*>(text.c_str()));
    argv.push_back(nullptr);
    std::vector<char*> envp;
    for (const std::string& text : env) envp.push_back(const_cast<char*>(text.c_str()));
    envp.push_back(nullptr);
    TRY(SendReady(channel, terminal));
    terminal.Reset();
    TRY(AwaitOrder(channel, InitOrder::kExecute));
    if (plan.before_execve) TRY(plan.before_execve());
    if (process.no_new_privileges) TRY(LoadProfile(plan, true));
    execve(program.c_str(), argv.data(), envp.data());
    return base::ErrnoError("exec: \"{}\"", process.args[0]);
  };
  return std::move(execute().error());
}

}  // namespace

void RunChild(const ChildPlan& plan, const std::function<base::Result<base::UniqueFd>()>& set_up) {
  base::UniqueFd channel;
  base::UniqueFd terminal;
  const auto prepare = [&]() -> base::Result<void> {
    channel = TRY(BeginChild(plan));
    TRY(AwaitOrder(channel, InitOrder::kSetUp));
    terminal = TRY(set_up());
    return BecomeProcess(plan);
  };
  base::Result<void> prepared = prepare();
  const base::Error error =
      prepared ? ExecuteWhenTold(plan, channel, std::move(terminal)) : std::move(prepared.error());
  SendFailure(channel ? base::BorrowedFd(channel) : plan.ends.channel, error);
  _exit(127);
}

base::Result<void> WriteProc(base::BorrowedFd directory, const std::string& path,
                             std::string_view value) {
  const base::UniqueFd file = TRY(base::OpenInRoot(directory, path, O_WRONLY));
  if (write(file.get(), value.data(), value.size()) < 0) {
    return base::ErrnoError("write \"{}\" to {}", value, path);
  }
  return base::Ok();
}

base::Result<void> SetOomScoreAdj(base::BorrowedFd proc, int score) {
  TRY(WriteProc(proc, fmt::format("{}/oom_score_adj", getpid()), std::to_string(score)),
      "oomScoreAdj");
  return base::Ok();
}

}  // namespace agent
