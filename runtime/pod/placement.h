// Where a pod's machine runs on the host: the CPU plan, its cgroups and masks. Decisions are
// runtime/cpu's; this applies them (cpu.md, "Applying").
//
// Thread rule: blocks; one call at a time, on the worker. Ownership: Remove, or a clean-up by the
// pod's record, ends what it made.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "oci/spec.h"
#include "runtime/base/result.h"
#include "runtime/config/config.h"
#include "runtime/pod/machine.h"

namespace pod {

class Placement {
 public:
  // Plans for the pod's first container.
  static base::Result<std::unique_ptr<Placement>> Plan(const config::Config& config,
                                                       const oci::Spec& spec,
                                                       const std::string& pod_id);
  virtual ~Placement() = default;

  virtual std::vector<VcpuPlace> vcpus() const = 0;
  virtual uint64_t memory_mib() const = 0;
  // Absolute paths of the cgroups that MakeCgroups will have made, children first: for the record.
  virtual std::vector<std::string> cgroups() const = 0;

  virtual base::Result<void> MakeCgroups() = 0;
  // The vCPU threads of `vmm` exist and wait: moves them, sets their masks, and reads all back.
  virtual base::Result<void> Place(pid_t vmm) = 0;
  // A process that belongs to the pod but is no vCPU.
  virtual base::Result<void> AddHelper(pid_t pid) = 0;
  // A container's anchor, whose cgroup is the container's own.
  virtual base::Result<void> AddAnchor(pid_t pid) = 0;
  // Puts the CPU limit in force.
  virtual base::Result<void> Limit() = 0;
};

}  // namespace pod
