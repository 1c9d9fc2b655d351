// The specification of a sandbox that comes without one: by the Sandbox API, as CRI would write it
// for its pause container. Thread rule: pure.
#pragma once

#include "agent-proto/proto/containerd/sandbox.pb.h"
#include "oci/spec.h"
#include "runtime/base/result.h"

namespace shim {

// Options of another type than runtime.v1.PodSandboxConfig are ignored. Of the annotations,
// Pinion's own are taken. A pod on the host's network gets a specification without a network
// namespace, which the pod refuses. kInvalidArgument if the options do not parse.
base::Result<oci::Spec> SandboxSpec(const containerd::sandbox::CreateSandboxRequest& request);

}  // namespace shim
