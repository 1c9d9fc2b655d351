#include "runtime/cpu/guest_topology.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace cpu {
namespace {

// Numbers groups densely within their parent, in the order in which they come.
class Dense {
 public:
  uint32_t operator()(uint32_t parent, std::tuple<uint32_t, uint32_t> group) {
    auto& known = known_[parent];
    return known.emplace(group, static_cast<uint32_t>(known.size())).first->second;
  }

 private:
  std::map<uint32_t, std::map<std::tuple<uint32_t, uint32_t>, uint32_t>> known_;
};

}  // namespace

std::vector<VcpuPlan> MirrorHost(const HostTopology& host, const CpuSet& set, Smt smt,
                                 std::vector<uint32_t>& nodes) {
  std::vector<HostCpu> cpus;
  for (const uint32_t id : set) cpus.push_back(*host.Find(id));
  // Host order is the order of places, so that every level comes out ascending.
  std::sort(cpus.begin(), cpus.end(), [](const HostCpu& a, const HostCpu& b) {
    return std::tie(a.package, a.die, a.core, a.thread) <
           std::tie(b.package, b.die, b.core, b.thread);
  });
  CpuSet node_set;
  for (const HostCpu& cpu : cpus) node_set.Insert(cpu.node);
  nodes.assign(node_set.begin(), node_set.end());

  Dense packages, dies, cores, l2s, l3s;
  std::map<std::tuple<uint32_t, uint32_t>, uint32_t> threads;
  std::vector<VcpuPlan> vcpus;
  for (const HostCpu& cpu : cpus) {
    // Hidden siblings are cores of their own, named by CPU number rather than by core.
    const uint32_t core = smt == Smt::kHide ? cpu.id : cpu.core;
    VcpuPlan vcpu;
    vcpu.package = packages(0, {cpu.package, 0});
    vcpu.die = dies(cpu.package, {cpu.die, 0});
    vcpu.core = cores(cpu.package, {cpu.die, core});
    vcpu.thread = threads[{vcpu.package, vcpu.core}]++;
    vcpu.l2 = l2s(0, {cpu.l2, 0});
    vcpu.l3 = l3s(0, {cpu.l3, 0});
    vcpu.node =
        static_cast<uint32_t>(std::find(nodes.begin(), nodes.end(), cpu.node) - nodes.begin());
    vcpu.host_cpu = cpu.id;
    vcpu.affinity.Insert(cpu.id);
    vcpus.push_back(std::move(vcpu));
  }
  return vcpus;
}

void AppendFlat(std::vector<VcpuPlan>& vcpus, uint64_t count, const CpuSet& affinity) {
  // In package 0, whose cores they continue.
  uint32_t core = 0, l2 = 0, l3 = 0;
  for (const VcpuPlan& vcpu : vcpus) {
    if (vcpu.package == 0) core = std::max(core, vcpu.core + 1);
    l2 = std::max(l2, vcpu.l2 + 1);
    l3 = std::max(l3, vcpu.l3 + 1);
  }
  std::vector<VcpuPlan> flat;
  for (uint64_t i = 0; i < count; ++i) {
    VcpuPlan vcpu;
    vcpu.core = core++;
    vcpu.l2 = l2++;
    vcpu.l3 = l3;
    vcpu.affinity = affinity;
    flat.push_back(std::move(vcpu));
  }
  vcpus.insert(vcpus.end(), flat.begin(), flat.end());
  std::stable_sort(vcpus.begin(), vcpus.end(), [](const VcpuPlan& a, const VcpuPlan& b) {
    return std::tie(a.package, a.die, a.core, a.thread) <
           std::tie(b.package, b.die, b.core, b.thread);
  });
}

}  // namespace cpu
