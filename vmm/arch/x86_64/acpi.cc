#include "vmm/arch/x86_64/acpi.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstring>
#include <span>

#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/layout.h"

namespace vmm {

namespace {

// ACPI 6.5, 5.2.6, "System Description Table Header".
struct [[gnu::packed]] TableHeader {
  char signature[4];          // 0
  uint32_t length;            // 4
  uint8_t revision;           // 8
  uint8_t checksum;           // 9
  char oem_id[6];             // 10
  char oem_table_id[8];       // 16
  uint32_t oem_revision;      // 24
  char creator_id[4];         // 28
  uint32_t creator_revision;  // 32
};
static_assert(sizeof(TableHeader) == 36);

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
  TableHeader header;              // 0
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
  uint32_t flags = 1;  // enabled
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
  uint32_t flags = 1;  // enabled
  uint32_t uid;
};
static_assert(sizeof(LocalX2apicEntry) == 16);
// The largest id that fits type 0: 255 is the broadcast.
constexpr uint32_t kMaxByteId = 254;

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

// What makes the bytes' sum 0.
uint8_t Checksum(const void* data, size_t size) {
  uint8_t sum = 0;
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i < size; ++i) sum = static_cast<uint8_t>(sum + bytes[i]);
  return static_cast<uint8_t>(0u - sum);
}

template <class T>
std::string BytesOf(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

// `bytes` starts with room for the header.
std::string Finish(std::string bytes, const char (&signature)[5], uint8_t revision) {
  TableHeader header = {};
  std::memcpy(header.signature, signature, 4);
  header.length = static_cast<uint32_t>(bytes.size());
  header.revision = revision;
  std::memcpy(header.oem_id, "PINION", 6);
  std::memcpy(header.oem_table_id, "PINIONVM", 8);
  header.oem_revision = 1;
  std::memcpy(header.creator_id, "PNON", 4);
  header.creator_revision = 1;
  std::memcpy(bytes.data(), &header, sizeof(header));
  header.checksum = Checksum(bytes.data(), bytes.size());
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

std::string Room() { return std::string(sizeof(TableHeader), '\0'); }

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

std::string BuildMadt(const GuestTopology& topology) {
  std::string bytes = Room();
  // 5.2.12: where the local APICs are; flags 0, no 8259s.
  const uint32_t base[2] = {static_cast<uint32_t>(layout::kLocalApic), 0};
  bytes += BytesOf(base);
  for (size_t i = 0; i < topology.size(); ++i) {
    const uint32_t id = topology.apic_id(i);
    if (id <= kMaxByteId && i <= kMaxByteId) {
      LocalApicEntry entry;
      entry.uid = static_cast<uint8_t>(i);
      entry.apic_id = static_cast<uint8_t>(id);
      bytes += BytesOf(entry);
    } else {
      LocalX2apicEntry entry;
      entry.apic_id = id;
      entry.uid = static_cast<uint32_t>(i);
      bytes += BytesOf(entry);
    }
  }
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
  body += aml::Scope("\\_SB_", devices);
  return Finish(Room() + body, "DSDT", 2);
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
  const uint64_t tables[2] = {TRY(place(BuildFadt(dsdt))), TRY(place(BuildMadt(machine.topology)))};
  const uint64_t xsdt = TRY(place(Finish(Room() + BytesOf(tables), "XSDT", 1)));
  Rsdp rsdp;
  rsdp.xsdt_address = xsdt;
  rsdp.checksum = Checksum(&rsdp, 20);
  rsdp.extended_checksum = Checksum(&rsdp, sizeof(rsdp));
  return memory.Store({layout::kRsdp}, rsdp);
}

}  // namespace vmm
