// The planner: what was asked, of which host, under which policy → vCPUs, their places in the
// guest's topology and where each may run. A pure function; applying a plan makes no decisions.
// The rules R0–R13 stand in this room's README.
//
// Thread rule: reentrant.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/cpu/policy.h"
#include "runtime/cpu/topology.h"

namespace cpu {

// linux.resources.cpu of one container, or a pod's limits.
struct ContainerRequest {
  uint64_t shares = 0;     // 0: not given
  int64_t quota_us = 0;    // <= 0: no limit
  uint64_t period_us = 0;  // 0: 100000
  uint64_t burst_us = 0;
  std::string cpus;  // cpuset(7) list; empty: not given
  std::string mems;
  bool idle = false;      // SCHED_IDLE
  bool realtime = false;  // a realtime runtime or period
};

// What another pod has recorded as its own (rule R10).
struct OtherPins {
  std::string pod;
  CpuSet cpus;
};

struct CpuRequest {
  bool cri = false;  // made by containerd's CRI plugin: shares carry a meaning there
  // Without the pause container. Empty: the pod's limits are all that is known.
  std::vector<ContainerRequest> containers;
  // io.kubernetes.cri.sandbox-cpu-*
  std::optional<ContainerRequest> pod;
  // The guest's RAM (memory.h); 0: not asked about.
  uint64_t memory_mib = 0;

  // What the planner must know of the host's state. Empty: every online CPU, and none.
  CpuSet allowed;    // by the pod's cgroup
  CpuSet shim_mask;  // of the shim's threads, before anybody narrowed it
  std::vector<OtherPins> pinned_elsewhere;
};

enum class Mode { kPinned, kConfined, kFloating, kMixed };
const char* ModeName(Mode mode);  // "pinned"…

// One vCPU. Levels are dense from 0 within their parent, but core, which is dense within the
// package, and l2 and l3, which are dense in the machine.
struct VcpuPlan {
  uint32_t index = 0;  // the vmm's and its thread's, "vcpu<index>"; 0 boots
  uint32_t id = 0;     // APIC id (vmm/topology)
  uint32_t package = 0;
  uint32_t die = 0;
  uint32_t cluster = 0;
  uint32_t core = 0;
  uint32_t thread = 0;
  uint32_t l2 = 0;
  uint32_t l3 = 0;
  uint32_t node = 0;                 // the guest's: an index of CpuPlan::nodes
  std::optional<uint32_t> host_cpu;  // if pinned
  CpuSet affinity;                   // empty: whatever the cgroup allows
  bool operator==(const VcpuPlan&) const = default;
};

struct CpuMax {
  int64_t quota_us = 0;
  uint64_t period_us = 100000;
  uint64_t burst_us = 0;
  bool operator==(const CpuMax&) const = default;
};

// A NUMA node of the guest.
struct GuestNode {
  uint32_t host_node = 0;
  uint64_t memory_mib = 0;  // its part of CpuPlan::memory_mib
  CpuSet mems;              // host nodes of its RAM; empty: any
  std::vector<uint32_t> distances;
  bool operator==(const GuestNode&) const = default;
};

struct CpuPlan {
  Mode mode = Mode::kFloating;
  std::vector<VcpuPlan> vcpus;  // ascending by index
  // Places kept for vCPUs that may come later; with them the ids and widths of the machine are
  // those that it may ever have. host_cpu: whose place it mirrors, if any.
  std::vector<VcpuPlan> spare;
  // For the leaf of the vCPU threads, once the guest is up; none: no limit.
  std::optional<CpuMax> cpu_max;
  uint64_t shares = 0;             // of all containers; 0: not given
  std::optional<uint64_t> weight;  // the same for cgroup v2
  // For the leaf's cpuset: the union of the affinities; empty: no restriction.
  CpuSet cpus;
  CpuSet mems;  // host nodes of the guest's RAM; empty: any
  uint64_t memory_mib = 0;
  std::vector<GuestNode> nodes;
  CpuSet housekeeping;        // for every thread that is no vCPU
  CpuSet grow;                // host CPUs that may come later
  std::vector<Note> notes;    // departures from what was asked (R13)
  std::vector<Note> reasons;  // why each figure is what it is, by the name of the figure

  CpuSet Pinned() const;
};

// kInvalidArgument for lists that are malformed or name what is not online; kFailedPrecondition
// where policy requires pins that cannot be had; kResourceExhausted for RAM that the host's nodes
// do not have.
base::Result<CpuPlan> Plan(const HostTopology& host, const CpuRequest& request,
                           const Policy& policy);

}  // namespace cpu
