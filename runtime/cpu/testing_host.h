// Hosts for tests of this room. Thread rule: reentrant.
#pragma once

#include <algorithm>
#include <random>

#include "runtime/cpu/topology.h"

namespace cpu {

// The host of the README's worked cases: 2 packages × 4 cores × 2 threads; package 0 has CPUs 0-3
// and their siblings 8-11, package 1 has 4-7 and 12-15; a node is a package.
inline HostTopology TwoPackages() {
  HostTopology host;
  for (uint32_t id = 0; id < 16; ++id) {
    const uint32_t core = id % 8;
    host.cpus.push_back({.id = id,
                         .package = core / 4,
                         .core = core % 4,
                         .thread = id / 8,
                         .l1 = core,
                         .l2 = core,
                         .l3 = core / 4,
                         .node = core / 4});
  }
  host.nodes = {{.id = 0, .memory_mib = 65536, .distances = {10, 20}},
                {.id = 1, .memory_mib = 65536, .distances = {20, 10}}};
  return host;
}

// A host of up to 3 packages, 2 dies, 2 clusters, 2 core complexes each, with holes: unequal
// parents, offline CPUs, L2 caches of one core or more, nodes that are packages or dies, numbers in
// random order.
inline HostTopology RandomHost(std::mt19937& random) {
  const auto pick = [&](uint32_t lowest, uint32_t highest) {
    return std::uniform_int_distribution<uint32_t>(lowest, highest)(random);
  };
  HostTopology host;
  uint32_t l1 = 0, l2 = 0, l3 = 0, node = 0;
  const uint32_t packages = pick(1, 3);
  const bool die_nodes = pick(0, 1) == 1;
  const bool wide_l2 = pick(0, 3) == 0;
  const bool clusters = pick(0, 3) == 0;
  for (uint32_t package = 0; package < packages; ++package) {
    uint32_t core = 0;
    const uint32_t dies = pick(1, 2);
    for (uint32_t die = 0; die < dies; ++die) {
      const uint32_t complexes = pick(1, 2);
      for (uint32_t complex = 0; complex < complexes; ++complex, ++l3) {
        for (uint32_t left = pick(1, 4); left > 0; --left, ++core, ++l1) {
          const uint32_t threads = pick(1, 2);
          for (uint32_t thread = 0; thread < threads; ++thread) {
            host.cpus.push_back({.package = package,
                                 .die = die,
                                 .cluster = clusters ? complex : 0,
                                 .core = core,
                                 .thread = thread,
                                 .l1 = l1,
                                 .l2 = l2,
                                 .l3 = l3,
                                 .node = node});
          }
          if (!wide_l2 || left == 1 || pick(0, 1) == 1) ++l2;
        }
      }
      if (die_nodes || die + 1 == dies) ++node;
    }
  }
  for (uint32_t id = 0; id < node; ++id) host.nodes.push_back({.id = id, .memory_mib = 1 << 20});
  std::shuffle(host.cpus.begin(), host.cpus.end(), random);
  uint32_t id = 0;
  for (HostCpu& cpu : host.cpus) {
    cpu.id = id;
    cpu.isolated = pick(0, 15) == 0;
    id += pick(1, 2);
  }
  return host;
}

}  // namespace cpu
