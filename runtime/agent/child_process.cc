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
  const int above = kKeptFd + static_cast<int>(plan.keep.size());
  const Process::ChildEnds& ends = plan.ends;
  base::UniqueFd null = TRY(base::Open("/dev/null", O_RDWR));
  std::vector<base::BorrowedFd> sources;
  for (const base::BorrowedFd end : ends.stdio) sources.push_back(end.valid() ? end : null);
  sources.push_back(ends.channel);
  sources.insert(sources.end(), plan.keep.begin(), plan.keep.end());
  // Out of the way of every number first, so that none is overwritten before it is placed.
  for (base::BorrowedFd& source : sources) {
    source = base::BorrowedFd(fcntl(source.get(), F_DUPFD_CLOEXEC, above));
    if (!source.valid()) return base::ErrnoError("move a descriptor");
  }
  null.Reset();  // its number may soon be another's
  for (int fd = 0; fd < above; ++fd) {
    if (dup3(sources[static_cast<size_t>(fd)].get(), fd, fd < kChannelFd ? 0 : O_CLOEXEC) < 0) {
      return base::ErrnoError("place descriptor {}", fd);
    }
  }
  if (syscall(SYS_close_range, static_cast<unsigned int>(above), ~0U, 0) != 0) {
    return base::ErrnoError("close_range");
  }
  return base::UniqueFd(kChannelFd);
}

base::Result<void> LoadProfile(const ChildPlan& plan, bool no_new_privileges) {
  if (plan.seccomp == nullptr) return base::Ok();
  base::SeccompLoadOptions options;
  options.no_new_privileges = no_new_privileges;
  options.extra_flags = plan.seccomp->flags;
  TRY(base::LoadSeccomp(plan.seccomp->instructions, options), "seccomp");
  return base::Ok();
}

base::Result<std::vector<std::string>> EnvironmentOf(const oci::Process& process) {
  std::vector<std::string> env = TRY(DistinctEnvironment(process.env));
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

// The order is runc's, and each step needs it: scheduling before the user is changed; without
// no_new_privs, seccomp(2) asks for CAP_SYS_ADMIN, so it comes before the capabilities go, and the
// profile must allow setresuid, capset and the rest of this function; with it, the profile is
// loaded last (see ExecuteWhenTold).
base::Result<void> BecomeProcess(const ChildPlan& plan) {
  const oci::Process& process = plan.process;
  if (process.scheduler) TRY(SetScheduler(*process.scheduler), "process.scheduler");
  if (process.io_priority) TRY(SetIoPriority(*process.io_priority), "process.ioPriority");
  if (plan.personality != nullptr) TRY(SetPersonality(*plan.personality), "linux.personality");
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
    const std::vector<std::string> env = TRY(EnvironmentOf(process));
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

base::Result<void> SetOomScoreAdj(int score) {
  TRY(base::WriteFile("/proc/self/oom_score_adj", std::to_string(score)), "oomScoreAdj");
  return base::Ok();
}

}  // namespace agent
