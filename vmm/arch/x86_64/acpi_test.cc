#include "vmm/arch/x86_64/acpi.h"

#include <gtest/gtest.h>

#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/layout.h"

namespace vmm {
namespace {

uint8_t Sum(const std::string& bytes) {
  uint8_t sum = 0;
  for (const char byte : bytes) sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(byte));
  return sum;
}

std::string Hex(const std::string& bytes) {
  std::string out;
  for (const char byte : bytes) out += fmt::format("{:02x}", static_cast<uint8_t>(byte));
  return out;
}

GuestTopology Machine(uint32_t cores, uint32_t threads) {
  auto topology = GuestTopology::Uniform(cores, threads);
  EXPECT_TRUE(topology);
  return std::move(*topology);
}

TEST(Aml, EncodesIntegersAsShortAsCanBe) {
  EXPECT_EQ(Hex(aml::Integer(0)), "00");
  EXPECT_EQ(Hex(aml::Integer(1)), "01");
  EXPECT_EQ(Hex(aml::Integer(5)), "0a05");
  EXPECT_EQ(Hex(aml::Integer(0x1234)), "0b3412");
  EXPECT_EQ(Hex(aml::Integer(0x12345678)), "0c78563412");
}

TEST(Aml, EncodesPackagesAndLengths) {
  EXPECT_EQ(Hex(aml::Name("_S5_", aml::Package(1, aml::Integer(5)))), "085f53355f1204010a05");
  // One length byte up to 63 in all, two from 64 on: 4 + 59 fits with one, 4 + 60 does not.
  EXPECT_EQ(Hex(aml::Scope("ABCD", std::string(58, 'x'))).substr(0, 4), "103f");
  EXPECT_EQ(Hex(aml::Scope("ABCD", std::string(59, 'x'))).substr(0, 6), "104104");
  // 4096 and more take three.
  EXPECT_EQ(Hex(aml::Scope("ABCD", std::string(5000, 'x'))).substr(0, 8), "108f3801");
}

TEST(Acpi, EveryTableSumsToZero) {
  const GuestTopology topology = Machine(2, 2);
  const AcpiMachine machine{topology, {{layout::kVirtioMmio, 0x1000, 16}}, true};
  EXPECT_EQ(Sum(BuildDsdt(machine)), 0);
  EXPECT_EQ(Sum(BuildMadt(topology)), 0);
  const std::string fadt = BuildFadt(0xe0040);
  EXPECT_EQ(Sum(fadt), 0);
  EXPECT_EQ(fadt.size(), 276u);
  EXPECT_EQ(fadt.substr(0, 4), "FACP");
}

TEST(Acpi, MadtListsIdsAbove254InLongEntries) {
  std::vector<VcpuPlace> places;
  for (uint32_t core = 0; core < 300; ++core) places.push_back({.core = core, .l2 = core});
  auto topology = GuestTopology::Create(places);
  ASSERT_TRUE(topology);
  const std::string madt = BuildMadt(*topology);
  EXPECT_EQ(madt.size(), 36u + 8 + 255 * 8 + 45 * 16 + 12);
  EXPECT_EQ(madt[44 + 255 * 8], 9);
}

TEST(Acpi, TablesOfTheLargestMachineFit) {
  auto memory = GuestMemory::Create(2 << 20);
  ASSERT_TRUE(memory);
  const GuestTopology topology = Machine(GuestTopology::kMaxVcpus, 1);
  AcpiMachine machine{topology, {}, true};
  for (uint32_t i = 0; i < layout::kMaxVirtioDevices; ++i) {
    machine.virtio_devices.push_back({layout::kVirtioMmio + i * 0x1000ull, 0x1000, 16 + i});
  }
  EXPECT_TRUE(WriteAcpiTables(**memory, machine));
  EXPECT_EQ(*(*memory)->Load<char>({layout::kRsdp}), 'R');
}

TEST(Acpi, SaysWhenTablesDoNotFit) {
  auto memory = GuestMemory::Create(2 << 20);
  ASSERT_TRUE(memory);
  const GuestTopology topology = Machine(1, 1);
  AcpiMachine machine{topology, std::vector<MmioResource>(5000), false};
  EXPECT_FALSE(WriteAcpiTables(**memory, machine));
}

}  // namespace
}  // namespace vmm
