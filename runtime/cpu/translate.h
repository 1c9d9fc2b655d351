// Rule R12: a container's cpuset inside the guest. Thread rule: reentrant.
#pragma once

#include "runtime/base/result.h"
#include "runtime/cpu/plan.h"

namespace cpu {

struct GuestCpuset {
  CpuSet vcpus;  // by index; empty: no restriction
  CpuSet nodes;  // the guest's; empty: no restriction
  bool operator==(const GuestCpuset&) const = default;
};

// What the host ids of `container`'s cpus and mems are in the guest that `plan` describes: the
// vCPUs pinned to these CPUs, or, for a container without CPUs of its own, those that are pinned to
// none. The agent knows a vCPU by its APIC id (VcpuPlan::id). kFailedPrecondition if cpus names a
// CPU that the plan does not cover.
base::Result<GuestCpuset> TranslateCpuset(const CpuPlan& plan, const ContainerRequest& container);

}  // namespace cpu
