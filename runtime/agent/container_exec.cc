#include "runtime/agent/container_exec.h"

#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "runtime/agent/child_process.h"
#include "runtime/agent/process_identity.h"
#include "runtime/agent/terminal.h"

namespace agent {
namespace {

// Joining a namespace that init shares with the agent changes nothing. The pid namespace was
// chosen by whoever cloned us.
constexpr int kJoined = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;

base::Result<void> Join(base::BorrowedFd init, bool user_namespace) {
  // We are still the agent, with all its rights, and soon among the container's processes: none of
  // them may look into us.
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return base::ErrnoError("PR_SET_DUMPABLE");
  // Changes root and working directory to the container's, too: setns(2), "CLONE_NEWNS".
  if (setns(init.get(), kJoined | (user_namespace ? CLONE_NEWUSER : 0)) != 0) {
    return base::ErrnoError("join the container's namespaces");
  }
  return user_namespace ? BecomeRootOfUserNamespace() : base::Ok();
}

base::Result<base::UniqueFd> SetUp(const ExecPlan& plan) {
  const oci::Process& process = plan.process;
  TRY(SetOomScoreAdj(process.oom_score_adj.value_or(0)));
  // Not earlier: /dev/null and what else we open until here is the agent's.
  TRY(Join(base::BorrowedFd(kKeptFd), plan.user_namespace));
  close(kKeptFd);
  base::UniqueFd terminal;
  if (process.terminal) terminal = TRY(OpenTerminal(process, Console::kLeave), "terminal");
  return terminal;
}

}  // namespace

void RunContainerExec(const ExecPlan& plan) {
  RunChild({plan.process, plan.seccomp, plan.personality, plan.ends, {plan.init}},
           [&plan] { return SetUp(plan); });
}

oci::Process CompleteExec(oci::Process exec, const oci::Process& init) {
  if (!exec.capabilities) exec.capabilities = init.capabilities;
  if (exec.rlimits.empty()) exec.rlimits = init.rlimits;
  if (!exec.oom_score_adj) exec.oom_score_adj = init.oom_score_adj;
  if (exec.cwd.empty()) exec.cwd = init.cwd;
  return exec;
}

}  // namespace agent
