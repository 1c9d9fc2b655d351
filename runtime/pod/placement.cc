#include "runtime/pod/placement.h"

#include <span>
#include <utility>

#include "runtime/base/log.h"
#include "runtime/cgroup/cgroup_path.h"
#include "runtime/cpu/affinity.h"
#include "runtime/cpu/request.h"
#include "runtime/cpu/topology.h"

namespace pod {
Placement::Placement(std::string pod_id, cpu::CpuPlan plan, std::string cgroup_path)
    : pod_id_(std::move(pod_id)), plan_(std::move(plan)), cgroup_path_(std::move(cgroup_path)) {}

base::Result<std::unique_ptr<Placement>> Placement::Plan(const config::Config& config,
                                                         const oci::Spec& spec,
                                                         const std::string& pod_id) {
  const cpu::HostTopology host = TRY(cpu::ReadHostTopology(), "host topology");
  cpu::CpuRequest request = TRY(cpu::RequestFromSpec(spec));
  request.shim_mask = TRY(cpu::GetAffinity(0));
  request.memory_mib = TRY(cpu::GuestMemoryMib(std::span(&spec, 1), config.guest.default_memory_mib,
                                               config.guest.memory_overhead_mib));
  cpu::CpuPlan plan = TRY(cpu::Plan(host, request, config.cpu), "plan CPUs");
  for (const cpu::Note& note : plan.notes) LOG_INFO("CPU plan: {}: {}", note.code, note.text);
  LOG_INFO("CPU plan: {} vCPUs, {}, cpus \"{}\"", plan.vcpus.size(), cpu::ModeName(plan.mode),
           plan.cpus.ToString());
  std::string path = TRY(cgroup::ResolvePath(spec.linux_config.cgroups_path, pod_id));
  return std::unique_ptr<Placement>(new Placement(pod_id, std::move(plan), std::move(path)));
}

base::Result<void> Placement::MakeCgroups() {
  const bool wanted = plan_.cpu_max.has_value() || !plan_.cpus.empty() || !plan_.mems.empty();
  cgroup_ = TRY(cgroup::PodCgroup::Create(cgroup_path_, pod_id_, wanted));
  for (const std::string& note : cgroup_->notes()) LOG_INFO("cgroup: {}", note);
  return base::Ok();
}

base::Result<void> Placement::Place(pid_t vmm, const std::vector<pid_t>& helpers) {
  TRY(cgroup_->AddVmmProcess(vmm));
  for (const pid_t helper : helpers) TRY(cgroup_->AddVmmProcess(helper));
  const std::vector<pid_t> vcpus = TRY(cpu::VcpuThreads(vmm, plan_.vcpus.size()));
  for (const pid_t tid : vcpus) TRY(cgroup_->AddVcpuThread(tid));
  TRY(cgroup_->SetVcpuCpuset(plan_.cpus.ToString(), plan_.mems.ToString()));
  // Masks last: before Linux 6.2 each change of a cpuset overwrites them.
  for (size_t i = 0; i < plan_.vcpus.size(); ++i) {
    if (plan_.vcpus[i].affinity.empty()) continue;
    TRY(cpu::SetAndVerify(vcpus[i], plan_.vcpus[i].affinity), "vcpu{}", i);
  }
  if (plan_.housekeeping.empty()) return base::Ok();
  for (const pid_t tid : TRY(cpu::OtherThreads(vmm))) {
    TRY(cpu::SetAndVerify(tid, plan_.housekeeping), "housekeeping");
  }
  return base::Ok();
}

base::Result<void> Placement::AddAnchor(pid_t pid, const std::string& cgroups_path) {
  return cgroup_->AddAnchor(pid, cgroups_path);
}

base::Result<void> Placement::Limit() {
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
