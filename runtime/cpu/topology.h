// The host's CPUs and their relations, as the planner sees them.
//
// Thread rule: values; ReadHostTopology is reentrant.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/cpu/cpu_set.h"

namespace cpu {

// A departure from what was asked or expected: a code for programs, a sentence for people.
struct Note {
  std::string code;
  std::string text;
  bool operator==(const Note&) const = default;
};

// One online CPU. package, l1, l2 and l3 are dense from 0 in the machine; die and core in the
// package; cluster in the die; thread in the core. Groups nest: core in L2 in L3 in die in package.
struct HostCpu {
  uint32_t id = 0;  // Linux' number
  uint32_t package = 0;
  uint32_t die = 0;
  uint32_t cluster = 0;  // arm64; x86 has no such level
  uint32_t core = 0;
  uint32_t thread = 0;
  uint32_t l1 = 0;  // data
  uint32_t l2 = 0;
  uint32_t l3 = 0;
  uint32_t node = 0;  // Linux' number
  bool isolated = false;
  bool operator==(const HostCpu&) const = default;
};

struct HostNode {
  uint32_t id = 0;
  uint64_t memory_mib = 0;          // 0: not known
  std::vector<uint32_t> distances;  // to the nodes, in their order; empty: not known
  bool operator==(const HostNode&) const = default;
};

struct HostTopology {
  std::vector<HostCpu> cpus;    // ascending by id, online ones only
  std::vector<HostNode> nodes;  // ascending by id, at least one
  std::vector<Note> notes;      // what the source did not say

  const HostCpu* Find(uint32_t id) const;
  CpuSet Online() const;
  CpuSet Nodes() const;
  CpuSet Isolated() const;
  // Of the nodes `nodes` together; 0: not known.
  uint64_t MemoryMib(const CpuSet& nodes) const;
  // 10 to itself and 20 to others where the source is silent (ACPI 6.5, 5.2.17).
  uint32_t Distance(uint32_t from_node, uint32_t to_node) const;
};

// Reads a directory shaped like /sys/devices/system. A level that is missing or contradicts itself
// is replaced by the simplest one, with a note; only a machine without any list of CPUs, or with a
// malformed one, is an error.
base::Result<HostTopology> ReadHostTopology(const std::string& root = "/sys/devices/system");

}  // namespace cpu
