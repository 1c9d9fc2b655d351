// SRAT and SLIT: which CPUs and which RAM are near each other. Written only for a guest of several
// nodes: with one there is nothing to tell. Thread rule: reentrant.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vmm/memory/guest_memory.h"
#include "vmm/topology/guest_topology.h"

namespace vmm {

// ACPI 6.5, 5.2.16: every CPU of the possible machine, since a kernel takes the node of a CPU that
// comes later from here too, and every range of RAM.
std::string BuildSrat(const GuestTopology& topology, std::span<const GuestMemory::NodeRange> ram);

// ACPI 6.5, 5.2.17. `distances[i][j]`: from node i to node j; 10 is a node's to itself.
std::string BuildSlit(std::span<const std::vector<uint8_t>> distances);

}  // namespace vmm
