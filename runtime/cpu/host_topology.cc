#include <algorithm>

#include "runtime/cpu/topology.h"

namespace cpu {

const HostCpu* HostTopology::Find(uint32_t id) const {
  const auto at =
      std::lower_bound(cpus.begin(), cpus.end(), id,
                       [](const HostCpu& cpu, uint32_t wanted) { return cpu.id < wanted; });
  return at == cpus.end() || at->id != id ? nullptr : &*at;
}

CpuSet HostTopology::Online() const {
  CpuSet set;
  for (const HostCpu& cpu : cpus) set.Insert(cpu.id);
  return set;
}

CpuSet HostTopology::Nodes() const {
  CpuSet set;
  for (const HostNode& node : nodes) set.Insert(node.id);
  return set;
}

CpuSet HostTopology::Isolated() const {
  CpuSet set;
  for (const HostCpu& cpu : cpus) {
    if (cpu.isolated) set.Insert(cpu.id);
  }
  return set;
}

uint64_t HostTopology::MemoryMib(const CpuSet& wanted) const {
  uint64_t sum = 0;
  for (const HostNode& node : nodes) {
    if (!wanted.Contains(node.id)) continue;
    if (node.memory_mib == 0) return 0;
    sum += node.memory_mib;
  }
  return sum;
}

uint32_t HostTopology::Distance(uint32_t from_node, uint32_t to_node) const {
  const auto find = [this](uint32_t id) {
    const auto at =
        std::lower_bound(nodes.begin(), nodes.end(), id,
                         [](const HostNode& node, uint32_t wanted) { return node.id < wanted; });
    return at == nodes.end() || at->id != id ? nodes.end() : at;
  };
  const auto from = find(from_node), to = find(to_node);
  if (from != nodes.end() && to != nodes.end()) {
    const auto column = static_cast<size_t>(to - nodes.begin());
    if (column < from->distances.size()) return from->distances[column];
  }
  return from_node == to_node ? 10 : 20;
}

}  // namespace cpu
