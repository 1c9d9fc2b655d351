#include "runtime/agent/container_init.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "runtime/agent/devices.h"
#include "runtime/agent/exec_lookup.h"
#include "runtime/agent/init_channel.h"
#include "runtime/agent/loopback.h"
#include "runtime/agent/process_identity.h"
#include "runtime/agent/rooted_path.h"
#include "runtime/agent/rootfs.h"
#include "runtime/agent/terminal.h"
#include "runtime/base/file.h"
#include "runtime/base/seccomp_filter.h"

namespace agent {
namespace {

void ResetSignals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Puts 0, 1 and 2 in place, the channel at 3, and closes all else: a copy of another container's
// pipe held here would keep its reader from ever seeing the end, and a descriptor of the agent's
// must not reach the container.
base::Result<base::UniqueFd> PlaceDescriptors(const InitPlan& plan) {
  constexpr int kAbove = 8;  // of every number that is placed below
  const base::UniqueFd null = TRY(base::Open("/dev/null", O_RDWR));
  int sources[4];
  for (int fd = 0; fd < 3; ++fd) {
    const int source = plan.stdio[fd].valid() ? plan.stdio[fd].get() : null.get();
    sources[fd] = fcntl(source, F_DUPFD_CLOEXEC, kAbove);
  }
  sources[3] = fcntl(plan.channel.get(), F_DUPFD_CLOEXEC, kAbove);
  for (int fd = 0; fd <= 3; ++fd) {
    if (sources[fd] < 0 || dup3(sources[fd], fd, fd == 3 ? O_CLOEXEC : 0) < 0) {
      return base::ErrnoError("place descriptor {}", fd);
    }
  }
  if (syscall(SYS_close_range, 4U, ~0U, 0) != 0) return base::ErrnoError("close_range");
  return base::UniqueFd(3);
}

// A procfs of our own to write to: whatever image and mounts have put at /proc is not asked. `path`
// is looked up below `directory`, which it cannot leave.
base::Result<void> WriteProc(base::BorrowedFd directory, const std::string& path,
                             std::string_view value) {
  const base::UniqueFd file = TRY(base::OpenInRoot(directory, path, O_WRONLY));
  if (write(file.get(), value.data(), value.size()) < 0) {
    return base::ErrnoError("write \"{}\" to {}", value, path);
  }
  return base::Ok();
}

base::Result<void> NameHost(const InitPlan& plan) {
  const oci::Spec& spec = plan.spec;
  if (!spec.hostname.empty() || !spec.domainname.empty()) {
    if (!plan.namespaces.owns_hostname) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "hostname \"{}\": it needs a uts namespace", spec.hostname);
    }
  }
  if (!spec.hostname.empty() && sethostname(spec.hostname.data(), spec.hostname.size()) != 0) {
    return base::ErrnoError("hostname \"{}\"", spec.hostname);
  }
  if (!spec.domainname.empty() &&
      setdomainname(spec.domainname.data(), spec.domainname.size()) != 0) {
    return base::ErrnoError("domainname \"{}\"", spec.domainname);
  }
  return base::Ok();
}

bool BringsOwnDev(const oci::Spec& spec) {
  for (const oci::Mount& mount : spec.mounts) {
    const bool bind =
        mount.type == "bind" ||
        std::find(mount.options.begin(), mount.options.end(), "bind") != mount.options.end() ||
        std::find(mount.options.begin(), mount.options.end(), "rbind") != mount.options.end();
    if (mount.destination == "/dev" && bind) return true;
  }
  return false;
}

base::Result<void> SetKernelParameters(const InitPlan& plan) {
  const oci::Process& process = *plan.spec.process;
  if (plan.spec.linux_config.sysctl.empty() && !process.oom_score_adj) return base::Ok();
  const base::UniqueFd proc = TRY(NewFilesystem("proc", "proc", MountOptions{}));
  const base::UniqueFd sys = TRY(base::OpenInRoot(proc, "sys", O_PATH | O_DIRECTORY));
  for (const auto& [name, value] : plan.spec.linux_config.sysctl) {
    // "net.ipv4.ip_forward", or with slashes where a name holds a dot, sysctl(8).
    std::string path = name;
    if (path.find('/') == std::string::npos) std::replace(path.begin(), path.end(), '.', '/');
    TRY(WriteProc(sys, path, value), "sysctl {}", name);
  }
  if (process.oom_score_adj) {
    TRY(WriteProc(proc, fmt::format("{}/oom_score_adj", getpid()),
                  std::to_string(*process.oom_score_adj)),
        "oomScoreAdj");
  }
  return base::Ok();
}

base::Result<void> SetUpSystem(const InitPlan& plan) {
  if (plan.namespaces.new_cgroup && unshare(CLONE_NEWCGROUP) != 0) {
    return base::ErrnoError("cgroup namespace");
  }
  TRY(NameHost(plan));
  if (plan.namespaces.HasNew(CLONE_NEWNET)) TRY(BringLoopbackUp());
  const base::UniqueFd root = TRY(OpenRootfs(plan.spec.root->path));
  const MountContext context{root, plan.cgroup_directory, plan.namespaces.new_cgroup};
  TRY(ApplyMounts(context, plan.spec.mounts));
  if (!BringsOwnDev(plan.spec)) TRY(CreateDevices(root, plan.spec.linux_config.devices));
  if (plan.spec.process->terminal) {
    // While /dev can still be written to; OpenTerminal covers it.
    TRY(OpenOrCreate(root, "/dev/console", PathKind::kFile));
  }
  TRY(SetKernelParameters(plan));
  TRY(FinishMounts(context, plan.spec.mounts));
  TRY(HidePaths(root, plan.spec.linux_config));
  return EnterRootfs(root);
}

// So that /dev/stdout can be opened again by an unprivileged user (runc does the same). What is no
// pipe of ours, as /dev/null, keeps its owner.
void OwnStdio(const InitPlan& plan, uid_t uid) {
  for (int fd = 0; fd <= 2; ++fd) {
    struct stat status {};
    if (!plan.stdio[fd].valid() || fstat(fd, &status) != 0 || !S_ISFIFO(status.st_mode)) continue;
    [[maybe_unused]] const int ignored = fchown(fd, uid, static_cast<gid_t>(-1));
  }
}

base::Result<void> LoadProfile(const InitPlan& plan, bool no_new_privileges) {
  if (plan.seccomp == nullptr) return base::Ok();
  base::SeccompLoadOptions options;
  options.no_new_privileges = no_new_privileges;
  options.extra_flags = plan.seccomp->flags;
  TRY(base::LoadSeccomp(plan.seccomp->instructions, options), "seccomp");
  return base::Ok();
}

// In the container's root. The order is runc's, and each step needs it: limits before the user is
// changed; without no_new_privs, seccomp(2) asks for CAP_SYS_ADMIN, so it comes before the
// capabilities go, and the profile must allow setresuid, capset and the rest of this function;
// with it, the profile is loaded last (see ExecuteWhenTold).
base::Result<void> BecomeProcess(const InitPlan& plan) {
  const oci::Process& process = *plan.spec.process;
  MakeWorkingDirectory(process.cwd);
  TRY(FinishRootfs(plan.spec));
  TRY(SetResourceLimits(process.rlimits));
  if (!process.terminal) OwnStdio(plan, process.user.uid);
  umask(process.user.umask.value_or(0022));
  // A session keyring of its own; kernels without keys and seccomp'd hosts do without.
  syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
  if (process.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return base::ErrnoError("no_new_privs");
  }
  if (!process.no_new_privileges) TRY(LoadProfile(plan, false));
  return BecomeUser(process);
}

std::vector<std::string> Environment(const oci::Process& process) {
  std::vector<std::string> env = process.env;
  if (EnvironmentValue(env, "HOME").empty()) {
    const base::Result<std::string> passwd = base::ReadFile("/etc/passwd");
    env.push_back("HOME=" + HomeDirectory(process.user.uid, passwd ? *passwd : ""));
  }
  return env;
}

base::Result<void> ExecuteWhenTold(const InitPlan& plan, base::BorrowedFd channel,
                                   base::UniqueFd terminal) {
  const oci::Process& process = *plan.spec.process;
  const std::vector<std::string> env = Environment(process);
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
  if (process.no_new_privileges) TRY(LoadProfile(plan, true));
  execve(program.c_str(), argv.data(), envp.data());
  return base::ErrnoError("exec: \"{}\"", process.args[0]);
}

base::Result<void> Run(const InitPlan& plan, base::BorrowedFd channel) {
  if (setsid() < 0) return base::ErrnoError("setsid");
  TRY(AwaitOrder(channel, InitOrder::kSetUp));
  TRY(SetUpSystem(plan));
  base::UniqueFd terminal;
  if (plan.spec.process->terminal) terminal = TRY(OpenTerminal(*plan.spec.process), "terminal");
  TRY(BecomeProcess(plan));
  return ExecuteWhenTold(plan, channel, std::move(terminal));
}

}  // namespace

void RunContainerInit(const InitPlan& plan) {
  ResetSignals();
  const base::Result<base::UniqueFd> channel = PlaceDescriptors(plan);
  if (!channel) {
    SendFailure(plan.channel, channel.error());
    _exit(127);
  }
  const base::Result<void> result = Run(plan, *channel);
  if (!result) SendFailure(*channel, result.error());
  _exit(127);
}

}  // namespace agent
