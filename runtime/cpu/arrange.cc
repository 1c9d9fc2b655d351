#include "runtime/cpu/arrange.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace cpu {
namespace {

// A group's names from the outermost level in; unused ones are 0.
using Name = std::tuple<uint32_t, uint32_t, uint32_t, uint32_t>;

// Replaces `level` of every CPU by the rank of name_of(cpu) among the names that share its parent,
// which is the name's first part.
template <class NameOf>
void Number(std::vector<HostCpu>& cpus, uint32_t HostCpu::*level, NameOf name_of) {
  std::map<Name, uint32_t> ranks;
  for (const HostCpu& cpu : cpus) ranks.emplace(name_of(cpu), 0);
  uint32_t parent = 0, next = 0;
  for (auto& [name, rank] : ranks) {
    if (std::get<0>(name) != parent) next = 0;
    parent = std::get<0>(name);
    rank = next++;
  }
  for (HostCpu& cpu : cpus) cpu.*level = ranks.at(name_of(cpu));
}

// Whether CPUs with one `inner` name have two `outer` names.
template <class Inner, class Outer>
bool Cuts(const std::vector<HostCpu>& cpus, Inner inner, Outer outer) {
  std::map<Name, Name> outer_of;
  for (const HostCpu& cpu : cpus) {
    if (outer_of.emplace(inner(cpu), outer(cpu)).first->second != outer(cpu)) return true;
  }
  return false;
}

void NumberThreads(std::vector<HostCpu>& cpus) {
  std::map<Name, std::vector<HostCpu*>> cores;
  for (HostCpu& cpu : cpus) cores[{cpu.package, cpu.core, 0, 0}].push_back(&cpu);
  for (auto& [core, threads] : cores) {
    std::sort(threads.begin(), threads.end(), [](const HostCpu* a, const HostCpu* b) {
      return std::tie(a->thread, a->id) < std::tie(b->thread, b->id);
    });
    for (uint32_t rank = 0; rank < threads.size(); ++rank) threads[rank]->thread = rank;
  }
}

}  // namespace

void Arrange(HostTopology& host) {
  std::vector<HostCpu>& cpus = host.cpus;
  std::sort(cpus.begin(), cpus.end(),
            [](const HostCpu& a, const HostCpu& b) { return a.id < b.id; });
  const auto note = [&](const char* text) {
    host.notes.push_back({"host_topology_incomplete", text});
  };
  const auto core_name = [](const HostCpu& c) { return Name{c.package, c.core, 0, 0}; };
  const auto l2_name = [](const HostCpu& c) { return Name{0, c.l2, 0, 0}; };
  const auto l3_name = [](const HostCpu& c) { return Name{0, c.l3, 0, 0}; };
  const auto die_name = [](const HostCpu& c) { return Name{c.package, c.die, 0, 0}; };

  // Inner names hold outer ones: the innermost level is numbered first. Cores come with their
  // parents, for "unique within the package" is true of sound sources only.
  Number(cpus, &HostCpu::package, [](const HostCpu& c) { return Name{0, c.package, 0, 0}; });
  Number(cpus, &HostCpu::core, [](const HostCpu& c) {
    return Name{c.package, c.die, c.cluster, c.core};
  });
  Number(cpus, &HostCpu::die, die_name);
  Number(cpus, &HostCpu::cluster, [](const HostCpu& c) {
    return Name{c.package << 16 | c.die, c.cluster, 0, 0};
  });
  NumberThreads(cpus);

  if (Cuts(cpus, core_name, [](const HostCpu& c) { return Name{0, c.l1, 0, 0}; })) {
    note("an L1 cache cuts through the threads of a core: one is assumed for each core");
    Number(cpus, &HostCpu::l1, [](const HostCpu& c) { return Name{0, c.package, c.core, 0}; });
  }
  if (Cuts(cpus, core_name, l2_name)) {
    note("an L2 cache cuts through the threads of a core: one is assumed for each core");
    Number(cpus, &HostCpu::l2, [](const HostCpu& c) { return Name{0, c.package, c.core, 0}; });
  }
  if (Cuts(cpus, l2_name, l3_name)) {
    note("an L3 cache cuts through the CPUs of an L2 cache: one is assumed for each L2");
    for (HostCpu& cpu : cpus) cpu.l3 = cpu.l2;
  }
  if (Cuts(cpus, l3_name, die_name)) {
    note("an L3 cache reaches over two dies: one is assumed for each die's part of it");
  }
  const auto l3_in_die = [](const HostCpu& c) { return Name{0, c.package, c.die, c.l3}; };
  Number(cpus, &HostCpu::l3, l3_in_die);
  Number(cpus, &HostCpu::l2, [](const HostCpu& c) { return Name{0, c.l3, c.l2, 0}; });
  Number(cpus, &HostCpu::l1, [](const HostCpu& c) { return Name{0, c.l2, c.l1, 0}; });
}

}  // namespace cpu
