#include "runtime/pod/placement.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

#include "runtime/base/file.h"
#include "runtime/base/log.h"
#include "runtime/base/process_tree.h"
#include "runtime/cgroup/allowed_cpus.h"
#include "runtime/cgroup/cgroup_path.h"
#include "runtime/cpu/affinity.h"
#include "runtime/cpu/core_scheduling.h"
#include "runtime/cpu/plan_json.h"
#include "runtime/cpu/request.h"
#include "runtime/cpu/topology.h"

namespace pod {
namespace {

// The shim's mask as it was started with: it narrows its own later, and may then make another
// machine.
base::Result<cpu::CpuSet> OriginalMask() {
  static const base::Result<cpu::CpuSet> mask = cpu::GetAffinity(0);
  if (!mask) return base::MakeError(mask.error().code(), "{}", mask.error().Message());
  return *mask;
}

std::string PodIdOf(const std::string& name) { return name.substr(name.find('/') + 1); }

}  // namespace

Placement::Placement(std::string name, const config::Config& config, std::string cgroup_path)
    : name_(std::move(name)),
      policy_(config.cpu),
      registry_(config.paths.run_dir + "/cpus"),
      cgroup_path_(std::move(cgroup_path)) {}

base::Result<std::unique_ptr<Placement>> Placement::Plan(const config::Config& config,
                                                         const oci::Spec& spec,
                                                         const std::string& name) {
  std::string path = TRY(cgroup::ResolvePath(spec.linux_config.cgroups_path, PodIdOf(name)));
  std::unique_ptr<Placement> placement(new Placement(name, config, std::move(path)));
  placement->host_ = TRY(cpu::ReadHostTopology(), "host topology");
  cpu::CpuRequest& request = placement->request_;
  request = TRY(cpu::RequestFromSpec(spec));
  request.shim_mask = TRY(OriginalMask());
  request.allowed = TRY(cpu::CpuSet::Parse(cgroup::AllowedCpus(placement->cgroup_path_)),
                        "CPUs of cgroup {}", placement->cgroup_path_);
  request.memory_mib = TRY(cpu::GuestMemoryMib(std::span(&spec, 1), config.guest.default_memory_mib,
                                               config.guest.memory_overhead_mib));
  cpu::PinRegistry::View others = TRY(placement->registry_.Others(name));
  TRY(placement->PlanAgain(std::move(others), config.cpu));
  return placement;
}

base::Result<void> Placement::PlanAgain(cpu::PinRegistry::View others, const cpu::Policy& policy) {
  request_.pinned_elsewhere = std::move(others.pins);
  plan_ = TRY(cpu::Plan(host_, request_, policy), "plan CPUs");
  plan_.notes.insert(plan_.notes.end(), others.notes.begin(), others.notes.end());
  return base::Ok();
}

base::Result<void> Placement::Claim(const std::string& plan_file) {
  plan_file_ = plan_file;
  if (!plan_.Pinned().empty()) {
    const auto plan = [this](const cpu::PinRegistry::View& others) -> base::Result<cpu::CpuSet> {
      TRY(PlanAgain(others, policy_));
      return plan_.Pinned();
    };
    TRY(registry_.Claim(name_, plan));
  }
  LOG_INFO("CPU plan: {} vCPUs, {}, cpus \"{}\", housekeeping \"{}\"", plan_.vcpus.size(),
           cpu::ModeName(plan_.mode), plan_.cpus.ToString(), plan_.housekeeping.ToString());
  Publish();
  return base::Ok();
}

// Each note once to the log; the plan in force to its file.
void Placement::Publish() {
  for (const cpu::Note& note : plan_.notes) {
    if (std::find(logged_.begin(), logged_.end(), note) != logged_.end()) continue;
    LOG_INFO("CPU plan: {}: {}", note.code, note.text);
  }
  logged_ = plan_.notes;
  const auto written = base::WriteFileAtomic(plan_file_, cpu::PlanToJson(plan_) + "\n", 0600);
  if (!written) LOG_WARNING("{}", written.error().Trail());
}

base::Result<void> Placement::MakeCgroups() {
  const bool wanted = plan_.cpu_max.has_value() || !plan_.cpus.empty() || !plan_.mems.empty();
  cgroup_ = TRY(cgroup::PodCgroup::Create(cgroup_path_, PodIdOf(name_), wanted));
  for (const std::string& note : cgroup_->notes()) LOG_INFO("cgroup: {}", note);
  return base::Ok();
}

base::Result<void> Placement::Join(const std::vector<pid_t>& processes) {
  for (const pid_t pid : processes) {
    TRY(cgroup_->AddVmmProcess(pid));
    // Looked for afterwards: what it starts from now on is born there.
    TRY(Join(base::ChildrenOf(pid)));
  }
  return base::Ok();
}

base::Result<void> Placement::Place(pid_t vmm, const std::vector<pid_t>& helpers) {
  vcpus_ = TRY(cpu::VcpuThreads(vmm, plan_.vcpus.size()));
  for (const pid_t tid : vcpus_) TRY(cgroup_->AddVcpuThread(tid));
  TRY(cgroup_->SetVcpuCpuset(plan_.cpus.ToString(), plan_.mems.ToString()));
  vmm_ = vmm;
  helpers_ = helpers;
  // Masks last: before Linux 6.2 each change of a cpuset overwrites them.
  TRY(SetVcpuMasks());
  TRY(SetHousekeeping());
  return SeparateCores();
}

// The vmm alone: virtiofsd has no cookie, like the host's own tasks, and none of those shares a
// core with a guest then.
base::Result<void> Placement::SeparateCores() {
  if (!policy_.core_scheduling) return base::Ok();
  if (TRY(cpu::GiveCoreCookie(vmm_)) == cpu::CoreCookie::kUnavailable) {
    plan_.notes.push_back({"core_scheduling_unavailable",
                           "this kernel has no core scheduling: cores may run other pods beside "
                           "this one's threads"});
    Publish();
  }
  return base::Ok();
}

base::Result<void> Placement::SetVcpuMasks() {
  for (size_t i = 0; i < plan_.vcpus.size(); ++i) {
    const cpu::CpuSet& mask = plan_.vcpus[i].affinity;
    if (!mask.empty()) {
      TRY(cpu::SetAndVerify(vcpus_[i], mask), "vcpu{}", i);
    } else {
      // Floating: where the shim was started to run, as far as the cgroup allows.
      const auto set = cpu::SetAsAllowed(vcpus_[i], request_.shim_mask, request_.allowed);
      if (!set) LOG_WARNING("vcpu{} floats, but not freely: {}", i, set.error().Message());
    }
  }
  return base::Ok();
}

base::Result<void> Placement::SetHousekeeping() {
  TRY(cpu::MoveProcess(vmm_, plan_.housekeeping), "housekeeping");
  for (const pid_t helper : helpers_) {
    TRY(cpu::MoveProcess(helper, plan_.housekeeping), "housekeeping");
  }
  // Not its children: an anchor belongs to its container's cgroup, which may have other CPUs.
  const auto moved = cpu::MoveProcess(getpid(), plan_.housekeeping, /*children=*/false);
  if (!moved) LOG_WARNING("the shim stays where it is: {}", moved.error().Message());
  return base::Ok();
}

base::Result<void> Placement::FollowPins() {
  cpu::PinRegistry::View others = TRY(registry_.Others(name_));
  cpu::CpuPlan before = std::exchange(plan_, {});
  // What this pod has pinned it has: others can no longer make its plan an error.
  cpu::Policy policy = policy_;
  if (policy.pinning == cpu::Pinning::kRequired) policy.pinning = cpu::Pinning::kAuto;
  base::Result<void> planned = PlanAgain(std::move(others), policy);
  if (!planned) {
    plan_ = std::move(before);
    return planned;
  }
  const bool housekeeping = plan_.housekeeping != before.housekeeping;
  const bool vcpus = plan_.vcpus != before.vcpus;
  if (!housekeeping && !vcpus && plan_.notes == before.notes) return base::Ok();
  Publish();
  if (vmm_ == 0) return base::Ok();  // Place will find the new plan
  if (housekeeping) {
    LOG_INFO("CPU plan: housekeeping moves from \"{}\" to \"{}\": other pods' pins have changed",
             before.housekeeping.ToString(), plan_.housekeeping.ToString());
    TRY(SetHousekeeping());
  }
  if (vcpus) TRY(SetVcpuMasks());
  return base::Ok();
}

base::Result<void> Placement::AddAnchor(pid_t pid, const std::string& cgroups_path) {
  return cgroup_->AddAnchor(pid, cgroups_path);
}

// KVM's own thread (kvm-nx-lpage-recovery) begins with the first KVM_RUN, as a child of that
// vCPU's: with its mask, and at the expense of its CPU limit.
base::Result<void> Placement::GatherVmmThreads() {
  for (const pid_t tid : TRY(cpu::OtherThreads(vmm_))) {
    base::Result<void> moved = cgroup_->AddVmmThread(tid);
    if (!moved && moved.error().error_number() != ESRCH) return moved;
  }
  return cpu::MoveProcess(vmm_, plan_.housekeeping);
}

base::Result<void> Placement::Limit() {
  TRY(GatherVmmThreads());
  cgroup::CpuLimit limit;
  limit.shares = plan_.shares;
  if (plan_.cpu_max) {
    limit.quota_us = plan_.cpu_max->quota_us;
    limit.period_us = plan_.cpu_max->period_us;
    limit.burst_us = plan_.cpu_max->burst_us;
  }
  return cgroup_->SetCpuLimit(limit);
}

}  // namespace pod
