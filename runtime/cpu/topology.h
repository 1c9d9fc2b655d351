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

// One online CPU. All numbers are dense from 0: package, l2, l3 in the machine, die and core within
// the package, thread within the core.
struct HostCpu {
  uint32_t id = 0;  // Linux' number
  uint32_t package = 0;
  uint32_t die = 0;
  uint32_t core = 0;
  uint32_t thread = 0;
  uint32_t l2 = 0;
  uint32_t l3 = 0;
  uint32_t node = 0;  // Linux' number
  bool isolated = false;
  bool operator==(const HostCpu&) const = default;
};

struct HostNode {
  uint32_t id = 0;
  uint64_t memory_mib = 0;
  std::vector<uint32_t> distances;  // to the nodes, in their order; empty: not known
  bool operator==(const HostNode&) const = default;
};

struct HostTopology {
  std::vector<HostCpu> cpus;    // ascending by id, online ones only
  std::vector<HostNode> nodes;  // ascending by id, at least one
  std::vector<Note> notes;      // what sysfs did not say

  const HostCpu* Find(uint32_t id) const;
  CpuSet Online() const;
  CpuSet Nodes() const;
};

// Reads a directory shaped like /sys/devices/system. A level that is missing or contradicts itself
// is replaced by the simplest one, with a note; only a missing list of online CPUs is an error.
base::Result<HostTopology> ReadHostTopology(const std::string& root = "/sys/devices/system");

}  // namespace cpu
