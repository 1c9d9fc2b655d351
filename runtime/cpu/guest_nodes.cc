#include "runtime/cpu/guest_nodes.h"

namespace cpu {

void ShareMemory(const HostTopology& host, CpuPlan& plan) {
  std::vector<uint64_t> count(plan.nodes.size());
  for (const VcpuPlan& vcpu : plan.vcpus) ++count[vcpu.node];
  uint64_t left = plan.memory_mib;
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    GuestNode& node = plan.nodes[i];
    node.memory_mib = plan.memory_mib * count[i] / plan.vcpus.size();
    left -= node.memory_mib;
    node.mems = plan.mems.Contains(node.host_node) ? CpuSet{node.host_node} : plan.mems;
    node.distances.clear();
    for (const GuestNode& other : plan.nodes) {
      node.distances.push_back(host.Distance(node.host_node, other.host_node));
    }
    if (count[i] == 0 || plan.mems.empty() || plan.mems.Contains(node.host_node)) continue;
    // One node of the guest, and no pins: no distance is promised.
    if (plan.Pinned().empty()) continue;
    plan.notes.push_back({"mems_far", fmt::format("CPUs on memory node {} get RAM from {}: mems "
                                                  "was given",
                                                  node.host_node, plan.mems.ToString())});
  }
  // What does not divide goes to the node of the vCPU that boots.
  plan.nodes[plan.vcpus[0].node].memory_mib += left;
}

}  // namespace cpu
