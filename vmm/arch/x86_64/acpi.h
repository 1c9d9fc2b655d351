// The ACPI tables of a hardware-reduced machine: RSDP, XSDT, FADT, MADT, DSDT, and with several
// nodes SRAT and SLIT. They are how a stock kernel finds its CPUs, its I/O APIC, its virtio-mmio
// devices, and power-off. Thread rule:
// reentrant; before any vCPU runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/topology/guest_topology.h"

namespace vmm {

// Where a device's registers are, and its interrupt pin.
struct MmioResource {
  uint64_t address = 0;
  uint32_t bytes = 0;
  uint32_t gsi = 0;
};

struct AcpiMachine {
  // The possible machine: its first `present` vCPUs are there at boot, the others may come.
  const GuestTopology& topology;
  size_t present = 0;
  std::vector<MmioResource> virtio_devices;
  bool serial_port = false;
  // Of the guest's NUMA nodes, when there are several (acpi_numa.h).
  std::vector<std::vector<uint8_t>> distances;
};

// kOutOfRange if the tables need more than the room below 1 MiB.
base::Result<void> WriteAcpiTables(const GuestMemory& memory, const AcpiMachine& machine);

// The tables, header and checksum included, for tests and dumps.
std::string BuildDsdt(const AcpiMachine& machine);
std::string BuildMadt(const GuestTopology& topology, size_t present);
// One CPU's entry in it, which is also what _MAT of a CPU says.
std::string MadtCpuEntry(const GuestTopology& topology, size_t vcpu, bool enabled);
std::string BuildFadt(uint64_t dsdt_address);

}  // namespace vmm
