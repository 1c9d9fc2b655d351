#include "vmm/arch/x86_64/acpi_numa.h"

#include <utility>

#include "vmm/arch/x86_64/acpi_table.h"

namespace vmm {

namespace {

constexpr uint32_t kEnabled = 1;

// 5.2.16.2, "Memory Affinity Structure".
struct [[gnu::packed]] MemoryAffinity {
  uint8_t type = 1;           // 0
  uint8_t length = 40;        // 1
  uint32_t node;              // 2
  uint16_t reserved1{};       // 6
  uint64_t base;              // 8
  uint64_t bytes;             // 16
  uint32_t reserved2{};       // 24
  uint32_t flags = kEnabled;  // 28
  uint64_t reserved3{};       // 32
};
static_assert(sizeof(MemoryAffinity) == 40);

// 5.2.16.3, "Processor Local x2APIC Affinity Structure": it takes the ids below 255 as well.
struct [[gnu::packed]] X2apicAffinity {
  uint8_t type = 2;           // 0
  uint8_t length = 24;        // 1
  uint16_t reserved1{};       // 2
  uint32_t node;              // 4
  uint32_t apic_id;           // 8
  uint32_t flags = kEnabled;  // 12
  uint32_t clock_domain{};    // 16
  uint32_t reserved2{};       // 20
};
static_assert(sizeof(X2apicAffinity) == 24);

}  // namespace

std::string BuildSrat(const GuestTopology& topology, std::span<const GuestMemory::NodeRange> ram) {
  // 5.2.16: a word that must be 1, and eight reserved bytes.
  const uint32_t start[3] = {1, 0, 0};
  std::string bytes = acpi::HeaderRoom() + acpi::BytesOf(start);
  for (size_t i = 0; i < topology.size(); ++i) {
    X2apicAffinity cpu;
    cpu.node = topology.place(i).node;
    cpu.apic_id = topology.apic_id(i);
    bytes += acpi::BytesOf(cpu);
  }
  for (const GuestMemory::NodeRange& range : ram) {
    MemoryAffinity memory;
    memory.node = range.node;
    memory.base = range.start.value;
    memory.bytes = range.size;
    bytes += acpi::BytesOf(memory);
  }
  return acpi::Finish(std::move(bytes), "SRAT", 3);
}

std::string BuildSlit(std::span<const std::vector<uint8_t>> distances) {
  std::string bytes = acpi::HeaderRoom() + acpi::BytesOf(uint64_t{distances.size()});
  for (const std::vector<uint8_t>& row : distances) {
    bytes.append(reinterpret_cast<const char*>(row.data()), row.size());
  }
  return acpi::Finish(std::move(bytes), "SLIT", 1);
}

}  // namespace vmm
