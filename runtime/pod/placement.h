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
#include "runtime/cpu/plan.h"

namespace pod {

class Placement {
 public:
  // Plans for the pod's first container, on this host. Logs the plan's notes.
  static base::Result<std::unique_ptr<Placement>> Plan(const config::Config& config,
                                                       const oci::Spec& spec,
                                                       const std::string& pod_id);

  const cpu::CpuPlan& plan() const { return plan_; }
  uint64_t memory_mib() const { return plan_.memory_mib; }
  // cgroupsPath resolved: what RemovePod is to remove.
  const std::string& cgroup() const { return cgroup_path_; }

  base::Result<void> MakeCgroups();
  // The vCPU threads of `vmm` exist and wait: moves them and `helpers` (processes that belong to
  // the pod), sets the masks, and reads all back.
  base::Result<void> Place(pid_t vmm, const std::vector<pid_t>& helpers);
  // A container's anchor, into that container's cgroup.
  base::Result<void> AddAnchor(pid_t pid, const std::string& cgroups_path);
  // Puts the CPU limit in force.
  base::Result<void> Limit();

 private:
  Placement(std::string pod_id, cpu::CpuPlan plan, std::string cgroup_path);

  std::string pod_id_;
  cpu::CpuPlan plan_;
  std::string cgroup_path_;
  std::optional<cgroup::PodCgroup> cgroup_;
};

}  // namespace pod
