#include "runtime/pod/placement.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

#include "oci/annotations.h"
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

base::Result<void> CheckMemoryLimit(const oci::Resources& asked, const std::string& spec_json,
                                    uint64_t machine_mib) {
  const auto limit_in = [](const oci::Resources& resources) {
    return resources.memory ? resources.memory->limit.value_or(0) : 0;
  };
  const int64_t limit = limit_in(asked);
  const uint64_t machine_bytes = machine_mib << 20;
  if (limit <= 0 || static_cast<uint64_t>(limit) <= machine_bytes) return base::Ok();
  const base::Result<oci::Spec> spec = oci::Parse(spec_json);
  if (spec && limit_in(spec->linux_config.resources) == limit) return base::Ok();
  return base::MakeError(base::Code::kFailedPrecondition,
                         "memory.limit {}: the machine has {} bytes, fixed when it booted; start "
                         "it again with more (a container alone: its memory.limit; a pod: "
                         "annotation {}, in CRI the sum of its limits)",
                         limit, machine_bytes, oci::kSandboxMemory);
}

Placement::Placement(std::string name, const config::Config& config, std::string cgroup_path)
    : name_(std::move(name)),
      policy_(config.cpu),
      registry_(config.paths.run_dir + "/cpus"),
      cgroup_path_(std::move(cgroup_path)) {}

base::Result<std::unique_ptr<Placement>> Placement::Plan(const config::Config& config,
                                                         const oci::Spec& spec,
                                                         const std::string& name,
                                                         const std::string& container) {
  std::string path = TRY(cgroup::ResolvePath(spec.linux_config.cgroups_path, PodIdOf(name)));
  std::unique_ptr<Placement> placement(new Placement(name, config, std::move(path)));
  placement->cgroups_path_ = spec.linux_config.cgroups_path;
  placement->cgroup_on_record_ =
      TRY(cgroup::PathOnRecord(spec.linux_config.cgroups_path, PodIdOf(name)));
  cpu::CpuRequest& request = placement->request_;
  request = TRY(cpu::RequestFromSpec(spec));
  // None: a pod's sandbox container, which asks for nothing itself.
  for (cpu::ContainerRequest& one : request.containers) {
    placement->containers_[container] = std::move(one);
  }
  request.containers.clear();
  request.shim_mask = TRY(OriginalMask());
  request.memory_mib = TRY(cpu::GuestMemoryMib(std::span(&spec, 1), config.guest.default_memory_mib,
                                               config.guest.memory_overhead_mib));
  TRY(placement->ReadHost());
  cpu::PinRegistry::View others = TRY(placement->registry_.Others(name));
  TRY(placement->PlanFirst(std::move(others)));
  return placement;
}

base::Result<void> Placement::ReadHost() {
  host_ = TRY(cpu::ReadHostTopology(), "host topology");
  request_.allowed =
      TRY(cpu::CpuSet::Parse(cgroup::AllowedCpus(cgroup_path_)), "CPUs of cgroup {}", cgroup_path_);
  return base::Ok();
}

cpu::CpuRequest Placement::RequestOf(
    const std::map<std::string, cpu::ContainerRequest>& containers) const {
  cpu::CpuRequest request = request_;
  for (const auto& [id, container] : containers) request.containers.push_back(container);
  return request;
}

base::Result<void> Placement::PlanFirst(cpu::PinRegistry::View others) {
  request_.pinned_elsewhere = std::move(others.pins);
  plan_ = TRY(cpu::Plan(host_, RequestOf(containers_), policy_), "plan CPUs");
  plan_.notes.insert(plan_.notes.end(), others.notes.begin(), others.notes.end());
  return base::Ok();
}

base::Result<void> Placement::Claim(const std::string& plan_file) {
  plan_file_ = plan_file;
  if (!plan_.Pinned().empty()) {
    const auto plan = [this](const cpu::PinRegistry::View& others) -> base::Result<cpu::CpuSet> {
      TRY(PlanFirst(others));
      return plan_.Pinned();
    };
    TRY(registry_.Claim(name_, plan));
    recorded_ = plan_.Pinned();
  }
  LOG_INFO("CPU plan: {} vCPUs, {}, cpus \"{}\", housekeeping \"{}\"", plan_.vcpus.size(),
           cpu::ModeName(plan_.mode), plan_.cpus.ToString(), plan_.housekeeping.ToString());
  Publish();
  return base::Ok();
}

// Each note once to the log; the plan in force to its file.
void Placement::Publish() {
  cpu::CpuPlan shown = plan_;
  shown.notes.insert(shown.notes.end(), machine_.begin(), machine_.end());
  for (const cpu::Note& note : shown.notes) {
    if (std::find(logged_.begin(), logged_.end(), note) != logged_.end()) continue;
    LOG_INFO("CPU plan: {}: {}", note.code, note.text);
  }
  logged_ = shown.notes;
  std::string json = cpu::PlanToJson(shown) + "\n";
  if (json == published_) return;
  const auto written = base::WriteFileAtomic(plan_file_, json, 0600);
  if (!written) LOG_WARNING("{}", written.error().Trail());
  published_ = std::move(json);
}

base::Result<void> Placement::MakeCgroups() {
  const bool wanted = plan_.cpu_max.has_value() || !plan_.cpus.empty() || !plan_.mems.empty();
  cgroup_ = TRY(cgroup::PodCgroup::Create(cgroups_path_, PodIdOf(name_), wanted));
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
  vcpus_ = TRY(cpu::VcpuThreads(vmm, plan_.vcpus.size() + plan_.spare.size()));
  for (const pid_t tid : vcpus_) TRY(cgroup_->AddVcpuThread(tid));
  TRY(cgroup_->SetVcpuCpuset(plan_.cpus.ToString(), plan_.mems.ToString()));
  vmm_ = vmm;
  helpers_ = helpers;
  // Masks last: before Linux 6.2 each change of a cpuset overwrites them.
  TRY(SetMasks(plan_, nullptr));
  TRY(SetHousekeeping());
  return SeparateCores();
}

// The vmm alone: virtiofsd has no cookie, like the host's own tasks, and none of those shares a
// core with a guest then.
base::Result<void> Placement::SeparateCores() {
  if (!policy_.core_scheduling) return base::Ok();
  if (TRY(cpu::GiveCoreCookie(vmm_)) == cpu::CoreCookie::kUnavailable) {
    machine_.push_back({"core_scheduling_unavailable",
                        "this kernel has no core scheduling: cores may run other pods beside "
                        "this one's threads"});
    Publish();
  }
  return base::Ok();
}

// Of `cpus` those that are online, if any is: the kernel gives a mask no others.
cpu::CpuSet Placement::OnlineOf(const cpu::CpuSet& cpus) const {
  const cpu::CpuSet online = cpus.Intersection(host_.Online());
  return online.empty() ? cpus : online;
}

// The vCPUs of `plan`, and those of `others`, if given, that `plan` has not. The rest is parked:
// kept off whatever pins they had, should one of them be woken by a guest that answers late.
base::Result<void> Placement::SetMasks(const cpu::CpuPlan& plan, const cpu::CpuPlan* others) {
  std::vector<cpu::CpuSet> masks(vcpus_.size(), plan.cpus);
  std::vector<bool> runs(vcpus_.size());
  for (const cpu::CpuPlan* from : {others, &plan}) {
    if (from == nullptr) continue;
    for (const cpu::VcpuPlan& vcpu : from->vcpus) {
      masks[vcpu.index] = vcpu.affinity;
      runs[vcpu.index] = from == &plan;
    }
  }
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    if (masks[i].empty()) {
      // Floating: where the shim was started to run, as far as the cgroup allows.
      const auto set = cpu::SetAsAllowed(vcpus_[i], request_.shim_mask, request_.allowed);
      if (!set) LOG_WARNING("vcpu{} floats, but not freely: {}", i, set.error().Message());
    } else if (runs[i] && masks[i].Intersects(host_.Online())) {
      TRY(cpu::SetAndVerify(vcpus_[i], OnlineOf(masks[i])), "vcpu{}", i);
    } else {
      // Parked, or its CPU is offline: the kernel has widened its mask, and there is nothing to
      // verify.
      (void)cpu::SetAndVerify(vcpus_[i], masks[i]);
    }
  }
  return base::Ok();
}

// KVM's own thread (kvm-nx-lpage-recovery) begins with the first KVM_RUN, as a child of that
// vCPU's: with its mask, and at the expense of its CPU limit.
base::Result<void> Placement::MoveVmm(const cpu::CpuSet& housekeeping) {
  for (const pid_t tid : TRY(cpu::OtherThreads(vmm_))) {
    base::Result<void> moved = cgroup_->AddVmmThread(tid);
    if (!moved && moved.error().error_number() != ESRCH) return moved;
  }
  TRY(cpu::MoveProcess(vmm_, housekeeping), "housekeeping");
  return base::Ok();
}

base::Result<void> Placement::SetHousekeeping() {
  const cpu::CpuSet cpus = OnlineOf(plan_.housekeeping);
  TRY(MoveVmm(cpus));
  for (const pid_t helper : helpers_) TRY(cpu::MoveProcess(helper, cpus), "housekeeping");
  // Not its children: an anchor belongs to its container's cgroup, which may have other CPUs.
  const auto moved = cpu::MoveProcess(getpid(), cpus, /*children=*/false);
  if (!moved) LOG_WARNING("the shim stays where it is: {}", moved.error().Message());
  return base::Ok();
}

base::Result<void> Placement::AddAnchor(pid_t pid, const std::string& cgroups_path) {
  return cgroup_->AddAnchor(pid, cgroups_path);
}

base::Result<void> Placement::Limit() {
  TRY(MoveVmm(plan_.housekeeping));
  return Limit(plan_);
}

base::Result<void> Placement::Limit(const cpu::CpuPlan& plan) {
  cgroup::CpuLimit limit;
  limit.shares = plan.shares;
  if (plan.cpu_max) {
    limit.quota_us = plan.cpu_max->quota_us;
    limit.period_us = plan.cpu_max->period_us;
    limit.burst_us = plan.cpu_max->burst_us;
  }
  return cgroup_->SetCpuLimit(limit);
}

}  // namespace pod
