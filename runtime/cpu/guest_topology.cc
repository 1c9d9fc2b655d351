#include "runtime/cpu/guest_topology.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "vmm/topology/guest_topology.h"

namespace cpu {
namespace {

// Numbers groups densely within their parent, in the order in which they come.
class Dense {
 public:
  uint32_t operator()(uint64_t parent, uint64_t group) {
    auto& known = known_[parent];
    return known.emplace(group, static_cast<uint32_t>(known.size())).first->second;
  }

 private:
  std::map<uint64_t, std::map<uint64_t, uint32_t>> known_;
};

uint64_t Join(uint32_t high, uint32_t low) { return uint64_t{high} << 32 | low; }

class Mirror {
 public:
  Mirror(Smt smt, std::vector<GuestNode>& nodes) : smt_(smt), nodes_(nodes) {}

  uint32_t Node(uint32_t host_node) {
    const uint32_t node = node_numbers_(0, host_node);
    if (node == nodes_.size()) nodes_.push_back({.host_node = host_node});
    return node;
  }
  VcpuPlan Place(const HostCpu& cpu) {
    VcpuPlan vcpu;
    vcpu.package = packages_(0, cpu.package);
    vcpu.die = dies_(cpu.package, cpu.die);
    vcpu.cluster = clusters_(Join(cpu.package, cpu.die), cpu.cluster);
    // Hidden siblings are cores of their own, named by CPU number rather than by core.
    vcpu.core = cores_(cpu.package, smt_ == Smt::kHide ? cpu.id : cpu.core);
    vcpu.thread = threads_[Join(vcpu.package, vcpu.core)]++;
    vcpu.l2 = l2s_(0, cpu.l2);
    vcpu.l3 = l3s_(0, cpu.l3);
    vcpu.node = Node(cpu.node);
    vcpu.host_cpu = cpu.id;
    vcpu.affinity.Insert(cpu.id);
    return vcpu;
  }

 private:
  Smt smt_;
  std::vector<GuestNode>& nodes_;
  Dense packages_, dies_, clusters_, cores_, l2s_, l3s_, node_numbers_;
  std::map<uint64_t, uint32_t> threads_;
};

// Host order is the order of places, so that every level comes out ascending.
std::vector<HostCpu> InPlaceOrder(const HostTopology& host, const CpuSet& set) {
  std::vector<HostCpu> cpus;
  for (const uint32_t id : set) cpus.push_back(*host.Find(id));
  std::sort(cpus.begin(), cpus.end(), [](const HostCpu& a, const HostCpu& b) {
    return std::tie(a.package, a.die, a.core, a.thread) <
           std::tie(b.package, b.die, b.core, b.thread);
  });
  return cpus;
}

void SortByPlace(std::vector<VcpuPlan>& vcpus) {
  std::stable_sort(vcpus.begin(), vcpus.end(), [](const VcpuPlan& a, const VcpuPlan& b) {
    return std::tie(a.package, a.die, a.core, a.thread) <
           std::tie(b.package, b.die, b.core, b.thread);
  });
}

bool GiveIds(CpuPlan& plan) {
  std::vector<vmm::VcpuPlace> places;
  for (const auto* vcpus : {&plan.vcpus, &plan.spare}) {
    for (const VcpuPlan& vcpu : *vcpus) {
      places.push_back({.package = vcpu.package,
                        .die = vcpu.die,
                        .core = vcpu.core,
                        .thread = vcpu.thread,
                        .l2 = vcpu.l2,
                        .l3 = vcpu.l3,
                        .node = vcpu.node});
    }
  }
  const auto topology = vmm::GuestTopology::Create(places);
  if (!topology) return false;
  uint32_t index = 0;
  for (auto* vcpus : {&plan.vcpus, &plan.spare}) {
    for (VcpuPlan& vcpu : *vcpus) {
      vcpu.index = index;
      vcpu.id = topology->apic_id(index++);
    }
  }
  return true;
}

}  // namespace

void MirrorHost(const HostTopology& host, const CpuSet& set, const CpuSet& grow, Smt smt,
                CpuPlan& plan) {
  Mirror mirror(smt, plan.nodes);
  for (const auto* part : {&set, &grow}) {
    CpuSet nodes;
    for (const uint32_t id : *part) nodes.Insert(host.Find(id)->node);
    for (const uint32_t node : nodes) mirror.Node(node);
    for (const HostCpu& cpu : InPlaceOrder(host, *part)) {
      (part == &set ? plan.vcpus : plan.spare).push_back(mirror.Place(cpu));
    }
  }
}

void AppendFlat(uint64_t count, const CpuSet& affinity, uint64_t spare, CpuPlan& plan) {
  // In package 0, whose cores they continue.
  uint32_t core = 0, l2 = 0, l3 = 0;
  for (const auto* vcpus : {&plan.vcpus, &plan.spare}) {
    for (const VcpuPlan& vcpu : *vcpus) {
      if (vcpu.package == 0) core = std::max(core, vcpu.core + 1);
      l2 = std::max(l2, vcpu.l2 + 1);
      l3 = std::max(l3, vcpu.l3 + 1);
    }
  }
  for (uint64_t i = 0; i < count + spare; ++i) {
    VcpuPlan vcpu;
    vcpu.core = core++;
    vcpu.l2 = l2++;
    vcpu.l3 = l3;
    vcpu.affinity = affinity;
    (i < count ? plan.vcpus : plan.spare).push_back(std::move(vcpu));
  }
}

void NumberVcpus(CpuPlan& plan) {
  SortByPlace(plan.vcpus);
  SortByPlace(plan.spare);
  if (GiveIds(plan)) return;
  plan.notes.push_back({"topology_flat",
                        "the host's topology needs APIC ids that KVM does not take: every vCPU is "
                        "shown as a core of one package"});
  uint32_t core = 0;
  for (auto* vcpus : {&plan.vcpus, &plan.spare}) {
    for (VcpuPlan& vcpu : *vcpus) {
      vcpu.package = vcpu.die = vcpu.cluster = vcpu.thread = vcpu.l3 = 0;
      vcpu.core = vcpu.l2 = core++;
    }
  }
  CHECK(GiveIds(plan));
}

bool SameRelation(const VcpuPlan& a, const VcpuPlan& b, const HostCpu& x, const HostCpu& y,
                  Smt smt) {
  const bool package = a.package == b.package;
  const bool host_package = x.package == y.package;
  const bool host_core = host_package && x.core == y.core && smt == Smt::kMirror;
  const bool die = package && a.die == b.die;
  const bool host_die = host_package && x.die == y.die;
  return package == host_package && die == host_die &&
         (die && a.cluster == b.cluster) == (host_die && x.cluster == y.cluster) &&
         (package && a.core == b.core) == host_core && (a.l2 == b.l2) == (x.l2 == y.l2) &&
         (a.l3 == b.l3) == (x.l3 == y.l3) && (a.node == b.node) == (x.node == y.node);
}

}  // namespace cpu
