#include "runtime/pod/hooks.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "runtime/base/file.h"
#include "runtime/base/log.h"
#include "runtime/base/run_program.h"
#include "runtime/pod/guest_spec.h"

namespace pod {
namespace {

constexpr std::chrono::seconds kDefaultLimit{300};
constexpr int64_t kLongestSeconds = 86400;

std::string PoststopFile(const std::string& bundle) { return bundle + "/" + kPoststopFile; }

}  // namespace

HookPlan PlanHooks(const oci::Spec& spec, const std::string& id, const std::string& bundle,
                   std::string root) {
  HookPlan plan;
  plan.hooks = spec.hooks;
  plan.state = {spec.oci_version, id, "", 0, bundle, spec.annotations};
  plan.root = std::move(root);
  if (spec.process) plan.oom_score_adj = spec.process->oom_score_adj;
  return plan;
}

base::Result<void> RunHooks(const std::vector<oci::Hook>& hooks, const oci::State& state,
                            std::optional<std::chrono::milliseconds> limit) {
  const auto begun = std::chrono::steady_clock::now();
  const std::string input = oci::Serialise(state);
  for (const oci::Hook& hook : hooks) {
    base::SubprocessOptions options;
    options.program = hook.path;
    options.argv = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
    options.env = hook.env;
    options.cwd = state.bundle;
    std::chrono::milliseconds allowed = std::chrono::seconds(
        std::min(hook.timeout_seconds.value_or(kDefaultLimit.count()), kLongestSeconds));
    if (limit) {
      const auto taken = std::chrono::duration_cast<std::chrono::milliseconds>(
          std::chrono::steady_clock::now() - begun);
      if (taken >= *limit) {
        return base::MakeError(base::Code::kDeadlineExceeded, "hook {}: no time is left for it",
                               hook.path);
      }
      allowed = std::min(allowed, *limit - taken);
    }
    TRY(base::RunProgram(options, input, allowed), "hook");
  }
  return base::Ok();
}

base::Result<void> OwePoststop(const HookPlan& plan) {
  if (plan.hooks.poststop.empty()) return base::Ok();
  const base::UniqueFd file =
      TRY(base::Open(PoststopFile(plan.state.bundle), O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
  return base::Ok();
}

base::Result<void> RunPoststop(const HookPlan& plan,
                               std::optional<std::chrono::milliseconds> limit) {
  const std::string file = PoststopFile(plan.state.bundle);
  if (unlink(file.c_str()) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return base::Ok();
    return base::ErrnoError("unlink {}", file);
  }
  oci::State state = plan.state;
  state.status = "stopped";
  return RunHooks(plan.hooks.poststop, state, limit);
}

base::Result<void> RunPoststopOf(const std::string& id, const std::string& bundle,
                                 std::chrono::milliseconds limit) {
  if (access(PoststopFile(bundle).c_str(), F_OK) != 0) return base::Ok();
  base::Result<oci::Spec> spec = LoadSpec(bundle);
  if (!spec) return std::move(spec.error());
  return RunPoststop(PlanHooks(*spec, id, bundle, ""), limit);
}

void CallPoststop(Worker& worker, const HookPlan& plan, std::function<void()> done) {
  // Nor is a bundle known before there is a plan.
  if (plan.hooks.poststop.empty()) return done();
  worker.Compute<base::Result<void>>(
      [plan] { return RunPoststop(plan); },
      [id = plan.state.id, done = std::move(done)](base::Result<void> hooked) {
        if (!hooked) LOG_WARNING("container {}: poststop: {}", id, hooked.error().Trail());
        done();
      });
}

}  // namespace pod
