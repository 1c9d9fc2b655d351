// Where a pod's machine runs on the host: applies a CPU plan (cpu.md, "Applying"): cgroups, masks,
// limits. What is applied was decided by runtime/cpu.
//
// Thread rule: blocks; one call at a time, on the worker. Ownership: destroying it leaves the
// cgroups, which go with the pod's record (clean_up.h).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "oci/spec.h"
#include "runtime/base/result.h"
#include "runtime/cgroup/pod_cgroup.h"
#include "runtime/config/config.h"
#include "runtime/cpu/pin_registry.h"
#include "runtime/cpu/plan.h"

namespace pod {

class Placement {
 public:
  // Plans for the pod's first container, on this host as it is now, so that what cannot be had
  // fails before anything is made. `name`: "ns/pod".
  static base::Result<std::unique_ptr<Placement>> Plan(const config::Config& config,
                                                       const oci::Spec& spec,
                                                       const std::string& name);

  const cpu::CpuPlan& plan() const { return plan_; }
  uint64_t memory_mib() const { return plan_.memory_mib; }
  // cgroupsPath resolved: what RemovePod is to remove.
  const std::string& cgroup() const { return cgroup_path_; }

  // Records the pinned CPUs host-wide, planning once more while nobody else can (rule R10). From
  // here on the plan in force is in `plan_file`, too. Logs the plan's notes.
  base::Result<void> Claim(const std::string& plan_file);
  base::Result<void> MakeCgroups();
  // Moves the machine's processes, and those that they have started, to the pod's cgroup. After
  // KVM_CREATE_VM and before the guest's memory is touched.
  base::Result<void> Join(const std::vector<pid_t>& processes);
  // The vCPU threads of `vmm`, which has joined, exist and wait: moves them to their leaf, sets the
  // masks, theirs and those of `helpers` (processes that belong to the pod), and reads all back.
  // The shim's own threads go where the vmm's do.
  base::Result<void> Place(pid_t vmm, const std::vector<pid_t>& helpers);
  // Other pods' pins have changed: housekeeping and floating threads keep off them (rule R7).
  base::Result<void> FollowPins();
  // A container's anchor, into that container's cgroup.
  base::Result<void> AddAnchor(pid_t pid, const std::string& cgroups_path);
  // The guest runs: puts the CPU limit in force, and threads that KVM has made since Place where
  // the vmm's are.
  base::Result<void> Limit();

 private:
  Placement(std::string name, const config::Config& config, std::string cgroup_path);
  base::Result<void> PlanAgain(cpu::PinRegistry::View others, const cpu::Policy& policy);
  base::Result<void> SetVcpuMasks();
  base::Result<void> SetHousekeeping();
  base::Result<void> GatherVmmThreads();
  base::Result<void> SeparateCores();
  void Publish();

  const std::string name_;
  cpu::Policy policy_;
  cpu::PinRegistry registry_;
  std::string cgroup_path_;
  cpu::HostTopology host_;
  cpu::CpuRequest request_;
  cpu::CpuPlan plan_;
  std::vector<cpu::Note> logged_;
  std::string plan_file_;
  std::optional<cgroup::PodCgroup> cgroup_;
  // Once placed.
  pid_t vmm_ = 0;
  std::vector<pid_t> helpers_;
  std::vector<pid_t> vcpus_;  // host tids
};

}  // namespace pod
