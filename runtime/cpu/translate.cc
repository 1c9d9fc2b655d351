#include "runtime/cpu/translate.h"

namespace cpu {
namespace {

base::Result<CpuSet> TranslateCpus(const CpuPlan& plan, const std::string& text) {
  const CpuSet pinned = plan.Pinned();
  if (pinned.empty()) return CpuSet();  // one kind of vCPU: every container may use all
  const CpuSet cpus = TRY(CpuSet::Parse(text), "linux.resources.cpu.cpus");
  const bool own = !cpus.empty() && pinned.ContainsAll(cpus);
  CpuSet vcpus, covered;
  for (const VcpuPlan& vcpu : plan.vcpus) {
    if (!vcpu.host_cpu) covered = covered.Union(vcpu.affinity);
    if (own ? vcpu.host_cpu && cpus.Contains(*vcpu.host_cpu) : !vcpu.host_cpu) {
      vcpus.Insert(vcpu.index);
    }
  }
  if (!vcpus.empty() && (own || covered.ContainsAll(cpus))) return vcpus;
  return base::MakeError(base::Code::kFailedPrecondition,
                         "linux.resources.cpu.cpus \"{}\": no vCPUs of this pod's plan (pinned to "
                         "{}, shared on {})",
                         text, pinned.ToString(), covered.ToString());
}

}  // namespace

base::Result<GuestCpuset> TranslateCpuset(const CpuPlan& plan, const ContainerRequest& container) {
  GuestCpuset cpuset;
  cpuset.vcpus = TRY(TranslateCpus(plan, container.cpus));
  // A guest of one node has nothing to choose from, wherever its RAM is.
  if (plan.nodes.size() < 2 || container.mems.empty()) return cpuset;
  const CpuSet mems = TRY(CpuSet::Parse(container.mems), "linux.resources.cpu.mems");
  for (uint32_t node = 0; node < plan.nodes.size(); ++node) {
    const bool backed =
        mems.Contains(plan.nodes[node].host_node) || plan.nodes[node].mems.Intersects(mems);
    if (backed) cpuset.nodes.Insert(node);
  }
  return cpuset;
}

}  // namespace cpu
