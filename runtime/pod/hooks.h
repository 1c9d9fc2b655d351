// OCI hooks that run on the host, in the shim's namespaces: prestart, createRuntime, poststart and
// poststop. OCI runtime-spec 1.2, config.md "POSIX-platform Hooks".
//
// Thread rule: reentrant, blocks; runs on the worker. But CallPoststop is reactor-bound.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "oci/process.h"
#include "oci/spec.h"
#include "oci/state.h"
#include "runtime/base/result.h"
#include "runtime/pod/worker.h"

namespace pod {

// In a bundle: its poststop hooks are owed, from before the first hook of creation on. Who takes
// the file away runs them: the shim, or `delete` after the shim's death, hence once.
inline constexpr const char* kPoststopFile = "pinion-poststop";

// What a container keeps of its config.json for what there is of it on the host.
struct HookPlan {
  oci::Hooks hooks;
  oci::State state;  // but for status and pid
  // Of its anchors.
  std::string root;  // the rootfs
  std::optional<int32_t> oom_score_adj;
};

// Pure. `root`: where the rootfs of container `id` is on the host.
HookPlan PlanHooks(const oci::Spec& spec, const std::string& id, const std::string& bundle,
                   std::string root);

// In order; the first that fails is the error and the last that runs. A hook without a timeout has
// 5 minutes: one that hangs must not hold the pod for ever. `limit`: for all of them.
base::Result<void> RunHooks(const std::vector<oci::Hook>& hooks, const oci::State& state,
                            std::optional<std::chrono::milliseconds> limit = std::nullopt);

// Nothing happens if there are no such hooks.
base::Result<void> OwePoststop(const HookPlan& plan);
// Nothing happens if they are not owed (any more).
base::Result<void> RunPoststop(const HookPlan& plan,
                               std::optional<std::chrono::milliseconds> limit = std::nullopt);
// The same for the container `id`, of which nobody knows more than its bundle.
base::Result<void> RunPoststopOf(const std::string& id, const std::string& bundle,
                                 std::chrono::milliseconds limit);
// RunPoststop on `worker`; `done` at once if there are no such hooks. A failure is a warning in the
// log: runtime.md "Lifecycle", 13.
void CallPoststop(Worker& worker, const HookPlan& plan, std::function<void()> done);

}  // namespace pod
