#include "runtime/agent/container_init.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "oci/state.h"
#include "runtime/agent/child_process.h"
#include "runtime/agent/devices.h"
#include "runtime/agent/loopback.h"
#include "runtime/agent/pod_settings.h"
#include "runtime/agent/process_identity.h"
#include "runtime/agent/rooted_path.h"
#include "runtime/agent/rootfs.h"
#include "runtime/agent/terminal.h"
#include "runtime/base/file.h"
#include "runtime/base/run_program.h"

namespace agent {
namespace {

base::Result<void> NameHost(const InitPlan& plan) {
  const oci::Spec& spec = plan.spec;
  if (!spec.hostname.empty() || !spec.domainname.empty()) {
    if (!plan.namespaces.owns_hostname) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "hostname \"{}\": it needs a uts namespace", spec.hostname);
    }
  }
  return SetHostnames(spec.hostname, spec.domainname);
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

// By their places in spec.mounts.
std::map<size_t, base::UniqueFd> KeptMounts(const InitPlan& plan) {
  std::map<size_t, base::UniqueFd> mounts;
  int fd = kKeptFd;
  for (const MadeMount& mount : plan.made_mounts) mounts.emplace(mount.place, fd++);
  return mounts;
}

base::Result<void> SetUpSystem(const InitPlan& plan) {
  // The agent's own, which a child inherits, is nobody else's.
  TRY(SetOomScoreAdj(plan.spec.process->oom_score_adj.value_or(0)));
  if (plan.namespaces.HasNew(CLONE_NEWUSER)) TRY(BecomeRootOfUserNamespace());
  // Here, because its root is where we are now (cgroup_namespaces(7)); and always, so that
  // /proc/self/cgroup and /sys/fs/cgroup agree also where a spec asks for none (privileged ones).
  if (unshare(CLONE_NEWCGROUP) != 0) return base::ErrnoError("cgroup namespace");
  TRY(NameHost(plan));
  if (plan.namespaces.HasNew(CLONE_NEWNET)) TRY(BringLoopbackUp());
  const base::UniqueFd root = TRY(OpenRootfs(plan.spec.root->path));
  const MountContext context{root, KeptMounts(plan)};
  TRY(ApplyMounts(context, plan.spec.mounts));
  if (!BringsOwnDev(plan.spec)) TRY(CreateDevices(root, plan.spec.linux_config.devices));
  if (plan.spec.process->terminal) {
    // While /dev can still be written to; OpenTerminal covers it.
    TRY(OpenOrCreate(root, "/dev/console", PathKind::kFile));
  }
  TRY(SetSysctls(plan.spec.linux_config.sysctl));
  TRY(FinishMounts(context, plan.spec.mounts));
  TRY(HidePaths(root, plan.spec.linux_config));
  return EnterRootfs(root);
}

// OCI runtime-spec 1.2, config.md "startContainer Hooks": in the container, as its process, before
// its program. Hooks without a timeout have 5 minutes.
base::Result<void> RunStartContainerHooks(const InitPlan& plan) {
  constexpr int64_t kDefaultSeconds = 300;
  const oci::State state{plan.spec.oci_version, plan.container_id,    "created", getpid(),
                         plan.spec.root->path,  plan.spec.annotations};
  const std::string input = oci::Serialise(state);
  for (const oci::Hook& hook : plan.spec.hooks.start_container) {
    base::SubprocessOptions options;
    options.program = hook.path;
    options.argv = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
    options.env = hook.env;
    const int64_t seconds =
        std::min(hook.timeout_seconds.value_or(kDefaultSeconds), kDefaultSeconds);
    TRY(base::RunProgram(options, input, std::chrono::seconds(seconds)), "startContainer hook");
  }
  return base::Ok();
}

base::Result<base::UniqueFd> SetUp(const InitPlan& plan) {
  const oci::Process& process = *plan.spec.process;
  TRY(SetUpSystem(plan));
  base::UniqueFd terminal;
  if (process.terminal) terminal = TRY(OpenTerminal(process, Console::kShow), "terminal");
  MakeWorkingDirectory(process.cwd);
  TRY(FinishRootfs(plan.spec));
  return terminal;
}

}  // namespace

void RunContainerInit(const InitPlan& plan) {
  const auto& personality = plan.spec.linux_config.personality;
  std::vector<base::BorrowedFd> keep;
  for (const MadeMount& mount : plan.made_mounts) keep.emplace_back(mount.tree);
  RunChild({*plan.spec.process, plan.seccomp, personality ? &*personality : nullptr, plan.ends,
            std::move(keep), [&plan] { return RunStartContainerHooks(plan); }},
           [&plan] { return SetUp(plan); });
}

}  // namespace agent
