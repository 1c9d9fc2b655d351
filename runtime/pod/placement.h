// Where a pod's machine runs on the host: applies a CPU plan (cpu.md, "Applying"): cgroups, masks,
// limits. What is applied was decided by runtime/cpu.
//
// Thread rule: blocks; one call at a time, on the worker. Ownership: destroying it leaves the
// cgroups, which go with the pod's record (clean_up.h).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
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
#include "runtime/cpu/translate.h"
#include "runtime/cpu/update.h"

namespace pod {

// What changes in what a pod asks for (rule R0: its request is that of all its containers).
struct PlanChange {
  enum class Kind {
    kJoin,    // a container comes, with `cpu`
    kUpdate,  // `cpu` changes what it asks; what `cpu` does not give stays
    kLeave,   // it goes
    kNone,    // nothing: what the plan in force says is to be so again
  };
  Kind kind = Kind::kNone;
  std::string container;
  oci::CpuLimits cpu;
};

// A plan, the requests it came from, and where each container may run in the guest (rule R12).
struct PodPlan {
  cpu::CpuPlan plan;
  std::map<std::string, cpu::ContainerRequest> containers;
  std::map<std::string, cpu::GuestCpuset> cpusets;
};

// Of an update of a machine with `machine_mib` of RAM: kFailedPrecondition for a memory limit above
// that, unless `spec_json` has it already, what the container was created with: containerd's CRI
// sends all limits with each update. Its words suit a container that comes with such a limit, too.
base::Result<void> CheckMemoryLimit(const oci::Resources& asked, const std::string& spec_json,
                                    uint64_t machine_mib);

class Placement {
 public:
  // Plans for the pod's first container, on this host as it is now, so that what cannot be had
  // fails before anything is made. `name`: "ns/pod".
  static base::Result<std::unique_ptr<Placement>> Plan(const config::Config& config,
                                                       const oci::Spec& spec,
                                                       const std::string& name,
                                                       const std::string& container);

  const cpu::CpuPlan& plan() const { return plan_; }
  // Fixed at boot: may be asked on any thread, at any time.
  uint64_t memory_mib() const { return request_.memory_mib; }
  // cgroupsPath resolved: what RemovePod is to remove.
  const std::string& cgroup() const { return cgroup_path_; }
  // The same as the pod's record keeps it.
  const std::string& cgroup_on_record() const { return cgroup_on_record_; }

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
  // Other pods' pins or the host's CPUs have changed: housekeeping and floating threads keep off
  // pins (rule R7), and every mask is set again. An error is a note of the plan, too.
  base::Result<void> Follow();

  // A change of a machine that runs is Replan, Admit, what vmm and guest do, and Commit; or, to go
  // back, Admit and Commit of the plan that was in force.
  struct Change {
    PodPlan before, after;
    bool changes = true;  // false: nothing is asked for that was not before
  };
  // A container that joins is known already if the machine was planned for it. kNotFound for an
  // update of one that is not. Changes nothing but the pin register, which then has both plans'
  // CPUs.
  base::Result<Change> Replan(const PlanChange& change);
  // The vCPUs of `to` may run, and those of `from` go on: the leaf has the CPUs of both, and each
  // thread its mask. Those of `to` win.
  base::Result<void> Admit(const cpu::CpuPlan& from, const cpu::CpuPlan& to);
  // `plan` is in force: the leaf is narrowed, masks are verified, the limit, the register and the
  // plan on record follow.
  base::Result<void> Commit(const PodPlan& plan);
  // A container's anchor, into that container's cgroup.
  base::Result<void> AddAnchor(pid_t pid, const std::string& cgroups_path);
  // The guest runs: puts the CPU limit in force, and threads that KVM has made since Place where
  // the vmm's are.
  base::Result<void> Limit();

 private:
  Placement(std::string name, const config::Config& config, std::string cgroup_path);
  base::Result<void> ReadHost();
  base::Result<void> PlanFirst(cpu::PinRegistry::View others);
  base::Result<cpu::PlanUpdate> PlanOnMachine(const cpu::CpuRequest& request,
                                              const cpu::Policy& policy, cpu::SharedVcpus shared);
  cpu::CpuRequest RequestOf(const std::map<std::string, cpu::ContainerRequest>& containers) const;
  cpu::CpuSet OnlineOf(const cpu::CpuSet& cpus) const;
  base::Result<void> SetMasks(const cpu::CpuPlan& plan, const cpu::CpuPlan* others);
  base::Result<void> MoveVmm(const cpu::CpuSet& housekeeping);
  base::Result<void> SetHousekeeping();
  base::Result<void> Limit(const cpu::CpuPlan& plan);
  base::Result<void> SeparateCores();
  base::Result<void> FollowHost();
  bool NoteOfflineCpus();
  void Publish();

  const std::string name_;
  cpu::Policy policy_;
  cpu::PinRegistry registry_;
  std::string cgroups_path_;  // as in the spec
  std::string cgroup_path_;   // where that is
  std::string cgroup_on_record_;
  cpu::HostTopology host_;
  cpu::CpuRequest request_;  // the pod's, without its containers
  std::map<std::string, cpu::ContainerRequest> containers_;
  cpu::CpuPlan plan_;
  cpu::CpuSet recorded_;            // in the pin register
  std::vector<cpu::Note> machine_;  // notes that are no plan's
  std::vector<cpu::Note> logged_;
  std::string published_;
  std::string plan_file_;
  std::optional<cgroup::PodCgroup> cgroup_;
  // Once placed.
  pid_t vmm_ = 0;
  std::vector<pid_t> helpers_;
  std::vector<pid_t> vcpus_;  // host tids by index, spare ones too
};

}  // namespace pod
