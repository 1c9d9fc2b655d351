#include "vmm/arch/x86_64/acpi.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

#include "vmm/arch/x86_64/acpi_cpus.h"
#include "vmm/arch/x86_64/acpi_numa.h"
#include "vmm/arch/x86_64/acpi_table.h"
#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/layout.h"

namespace vmm {

using acpi::BytesOf;
using acpi::Checksum;
using acpi::Finish;
using acpi::HeaderRoom;

namespace {

// 5.2.3.2, "Generic Address Structure".
struct [[gnu::packed]] GenericAddress {
  uint8_t space = 0;  // 1: ports
  uint8_t bit_width = 0;
  uint8_t bit_offset = 0;
  uint8_t access_size = 0;  // 1: byte
  uint64_t address = 0;
};
static_assert(sizeof(GenericAddress) == 12);

constexpr GenericAddress BytePort(uint16_t port) { return {1, 8, 0, 1, port}; }

// 5.2.9, "Fixed ACPI Description Table". What belongs to hardware that a hardware-reduced machine
// does not have is reserved here and stays 0.
struct [[gnu::packed]] Fadt {
  char header[36];                 // 0
  uint8_t reserved0[73];           // 36
  uint16_t boot_architecture;      // 109
  uint8_t reserved1;               // 111
  uint32_t flags;                  // 112
  GenericAddress reset_register;   // 116
  uint8_t reset_value;             // 128
  uint16_t arm_boot_architecture;  // 129
  uint8_t minor_version;           // 131
  uint64_t x_firmware_control;     // 132
  uint64_t x_dsdt;                 // 140
  uint8_t reserved2[96];           // 148
  GenericAddress sleep_control;    // 244
  GenericAddress sleep_status;     // 256
  char hypervisor_vendor[8];       // 268
};
static_assert(sizeof(Fadt) == 276 && offsetof(Fadt, flags) == 112 &&
              offsetof(Fadt, x_dsdt) == 140 && offsetof(Fadt, sleep_control) == 244);

constexpr uint32_t kFadtResetRegister = 1u << 10;
constexpr uint32_t kFadtHardwareReduced = 1u << 20;
// 5.2.9.3, IAPC_BOOT_ARCH: no VGA, no CMOS clock; bit 1 clear says no keyboard controller.
constexpr uint16_t kNoVga = 1 << 2;
constexpr uint16_t kNoCmosClock = 1 << 5;

// 5.2.12.2, 5.2.12.3, 5.2.12.12.
struct [[gnu::packed]] LocalApicEntry {
  uint8_t type = 0;
  uint8_t length = 8;
  uint8_t uid;
  uint8_t apic_id;
  uint32_t flags;
};
static_assert(sizeof(LocalApicEntry) == 8);
struct [[gnu::packed]] IoApicEntry {
  uint8_t type = 1;
  uint8_t length = 12;
  uint8_t id = 0;
  uint8_t reserved = 0;
  uint32_t address = layout::kIoApic;
  uint32_t first_gsi = 0;
};
static_assert(sizeof(IoApicEntry) == 12);
struct [[gnu::packed]] LocalX2apicEntry {
  uint8_t type = 9;
  uint8_t length = 16;
  uint16_t reserved = 0;
  uint32_t apic_id;
  uint32_t flags;
  uint32_t uid;
};
static_assert(sizeof(LocalX2apicEntry) == 16);
// The largest id that fits type 0: 255 is the broadcast.
constexpr uint32_t kMaxByteId = 254;
// 5.2.12.2, table 5.22: there, or not there but may come. Linux from 6.9 on takes no CPU later that
// it did not see here.
constexpr uint32_t kEnabled = 1 << 0;
constexpr uint32_t kOnlineCapable = 1 << 1;

// 5.2.5.3, "Root System Description Pointer Structure".
struct [[gnu::packed]] Rsdp {
  char signature[8] = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};
  uint8_t checksum = 0;  // of the first 20 bytes
  char oem_id[6] = {'P', 'I', 'N', 'I', 'O', 'N'};
  uint8_t revision = 2;
  uint32_t rsdt_address = 0;
  uint32_t length = 36;
  uint64_t xsdt_address = 0;
  uint8_t extended_checksum = 0;
  uint8_t reserved[3] = {};
};
static_assert(sizeof(Rsdp) == 36);

}  // namespace

std::string BuildFadt(uint64_t dsdt_address) {
  Fadt fadt = {};
  fadt.boot_architecture = kNoVga | kNoCmosClock;
  fadt.flags = kFadtHardwareReduced | kFadtResetRegister;
  fadt.reset_register = BytePort(layout::kResetPort);
  fadt.reset_value = layout::kResetValue;
  fadt.minor_version = 5;
  fadt.x_dsdt = dsdt_address;
  fadt.sleep_control = BytePort(layout::kSleepControlPort);
  fadt.sleep_status = BytePort(layout::kSleepStatusPort);
  std::memcpy(fadt.hypervisor_vendor, "PINION", 6);
  return Finish(BytesOf(fadt), "FACP", 6);
}

std::string MadtCpuEntry(const GuestTopology& topology, size_t vcpu, bool enabled) {
  const uint32_t id = topology.apic_id(vcpu);
  const uint32_t flags = enabled ? kEnabled : kOnlineCapable;
  if (id <= kMaxByteId && vcpu <= kMaxByteId) {
    LocalApicEntry entry;
    entry.uid = static_cast<uint8_t>(vcpu);
    entry.apic_id = static_cast<uint8_t>(id);
    entry.flags = flags;
    return BytesOf(entry);
  }
  LocalX2apicEntry entry;
  entry.apic_id = id;
  entry.flags = flags;
  entry.uid = static_cast<uint32_t>(vcpu);
  return BytesOf(entry);
}

std::string BuildMadt(const GuestTopology& topology, size_t present) {
  // 5.2.12: where the local APICs are; flags 0, no 8259s.
  const uint32_t base[2] = {static_cast<uint32_t>(layout::kLocalApic), 0};
  std::string bytes = HeaderRoom() + BytesOf(base);
  for (size_t i = 0; i < topology.size(); ++i) bytes += MadtCpuEntry(topology, i, i < present);
  bytes += BytesOf(IoApicEntry{});
  return Finish(std::move(bytes), "APIC", 6);
}

std::string BuildDsdt(const AcpiMachine& machine) {
  // 7.4.2: what power-off writes into the sleep control register.
  std::string body = aml::Name("\\_S5_", aml::Package(1, aml::Integer(layout::kSleepTypeS5)));
  std::string devices;
  uint32_t number = 0;
  for (const MmioResource& device : machine.virtio_devices) {
    const std::string resources =
        aml::Memory32Fixed(static_cast<uint32_t>(device.address), device.bytes) +
        aml::EdgeInterrupt(device.gsi);
    // LNRO0005 is what Linux binds virtio-mmio to; _CCA 1: its DMA is coherent.
    devices += aml::Device(fmt::format("V{:03X}", number),
                           aml::Name("_HID", aml::String("LNRO0005")) +
                               aml::Name("_UID", aml::Integer(number)) +
                               aml::Name("_CCA", aml::Integer(1)) +
                               aml::Name("_CRS", aml::ResourceTemplate(resources)));
    ++number;
  }
  if (machine.serial_port) {
    const std::string resources =
        aml::IoPorts(layout::kCom1Port, layout::kCom1Ports) + aml::EdgeInterrupt(layout::kCom1Pin);
    devices += aml::Device("COM1", aml::Name("_HID", aml::String("PNP0501")) +
                                       aml::Name("_UID", aml::Integer(0)) +
                                       aml::Name("_CRS", aml::ResourceTemplate(resources)));
  }
  // A single CPU neither comes nor goes.
  if (machine.topology.size() > 1) {
    devices += CpuHotplugAml(machine.topology, machine.distances.size() > 1);
  }
  body += aml::Scope("\\_SB_", devices);
  return Finish(HeaderRoom() + body, "DSDT", 2);
}

base::Result<void> WriteAcpiTables(const GuestMemory& memory, const AcpiMachine& machine) {
  uint64_t next = layout::kAcpiTables;
  const auto place = [&](const std::string& table) -> base::Result<uint64_t> {
    const uint64_t address = next;
    if (table.size() > layout::kAcpiEnd - address) {
      return base::MakeError(base::Code::kOutOfRange,
                             "ACPI tables: {} bytes more than fit below 1 MiB",
                             table.size() - (layout::kAcpiEnd - address));
    }
    TRY(memory.Write({address}, std::as_bytes(std::span(table.data(), table.size()))));
    next = (address + table.size() + 15) & ~uint64_t{15};
    return address;
  };
  const uint64_t dsdt = TRY(place(BuildDsdt(machine)));
  std::string tables;
  const auto list = [&](const std::string& table) -> base::Result<void> {
    tables += BytesOf(TRY(place(table)));
    return base::Ok();
  };
  TRY(list(BuildFadt(dsdt)));
  TRY(list(BuildMadt(machine.topology, machine.present)));
  if (machine.distances.size() > 1) {
    TRY(list(BuildSrat(machine.topology, memory.node_ranges())));
    TRY(list(BuildSlit(machine.distances)));
  }
  const uint64_t xsdt = TRY(place(Finish(HeaderRoom() + tables, "XSDT", 1)));
  Rsdp rsdp;
  rsdp.xsdt_address = xsdt;
  rsdp.checksum = Checksum(&rsdp, 20);
  rsdp.extended_checksum = Checksum(&rsdp, sizeof(rsdp));
  return memory.Store({layout::kRsdp}, rsdp);
}

}  // namespace vmm
