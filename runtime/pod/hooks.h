// OCI hooks that run on the host, in the shim's namespaces: prestart, createRuntime, poststart and
// poststop. OCI runtime-spec 1.2, config.md "POSIX-platform Hooks".
//
// Thread rule: reentrant, blocks; runs on the worker.
#pragma once

#include <string>
#include <vector>

#include "oci/process.h"
#include "oci/state.h"
#include "runtime/base/result.h"

namespace pod {

// What a container keeps of its config.json for its hooks.
struct HookPlan {
  oci::Hooks hooks;
  oci::State state;  // but for status and pid
};

// In order; the first that fails is the error and the last that runs. A hook without a timeout has
// 5 minutes: one that hangs must not hold the pod for ever.
base::Result<void> RunHooks(const std::vector<oci::Hook>& hooks, const oci::State& state);

}  // namespace pod
