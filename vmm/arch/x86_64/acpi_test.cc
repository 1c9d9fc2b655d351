#include "vmm/arch/x86_64/acpi.h"

#include <gtest/gtest.h>

#include <cstring>

#include "vmm/arch/x86_64/acpi_numa.h"
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

TEST(Aml, EncodesCode) {
  EXPECT_EQ(Hex(aml::Method("_STA", 0, false, aml::Return(aml::Integer(0)))), "14085f53544100a400");
  EXPECT_EQ(Hex(aml::Method("ABCD", 2, true, "")), "1406414243440a");
  EXPECT_EQ(Hex(aml::If(aml::Equal(aml::Arg(0), aml::Integer(1)), aml::Break())), "a005936801a5");
  EXPECT_EQ(Hex(aml::WhileTrue(aml::Store("CSEL", aml::Local(0)))), "a20801704353454c60");
  EXPECT_EQ(Hex(aml::Acquire("CLCK")), "5b23434c434bffff");
  EXPECT_EQ(Hex(aml::Mutex("CLCK")), "5b01434c434b00");
  EXPECT_EQ(Hex(aml::PortRegion("CREG", 0x620, 16)), "5b8043524547010b20060a10");
  constexpr aml::FieldElement kElements[] = {{"", 32}, {"CPEN", 1}, {"", 71}};
  EXPECT_EQ(Hex(aml::Field("CREG", aml::Access::kByte, kElements)),
            "5b811043524547410020"
            "4350454e01"
            "004704");
  EXPECT_EQ(Hex(aml::Buffer("abc")), "11060a03616263");
}

TEST(Acpi, EveryTableSumsToZero) {
  const GuestTopology topology = Machine(2, 2);
  const AcpiMachine machine{.topology = topology,
                            .present = 4,
                            .virtio_devices = {{layout::kVirtioMmio, 0x1000, 16}},
                            .serial_port = true};
  EXPECT_EQ(Sum(BuildDsdt(machine)), 0);
  EXPECT_EQ(Sum(BuildMadt(topology, 4)), 0);
  const std::string fadt = BuildFadt(0xe0040);
  EXPECT_EQ(Sum(fadt), 0);
  EXPECT_EQ(fadt.size(), 276u);
  EXPECT_EQ(fadt.substr(0, 4), "FACP");
}

TEST(Acpi, CpusHaveDevicesWhereThereAreSeveral) {
  const GuestTopology one = Machine(1, 1);
  EXPECT_EQ(BuildDsdt({.topology = one, .present = 1}).find("ACPI0013"), std::string::npos);
  const GuestTopology two = Machine(2, 1);
  const std::string dsdt = BuildDsdt({.topology = two, .present = 1});
  EXPECT_NE(dsdt.find("ACPI0013"), std::string::npos);
  const size_t first = dsdt.find(std::string("C000") + '\x08' + "_HID");
  const size_t second = dsdt.find(std::string("C001") + '\x08' + "_HID");
  ASSERT_NE(first, std::string::npos);
  ASSERT_NE(second, std::string::npos);
  // The first cannot be ejected.
  EXPECT_EQ(dsdt.substr(first, second - first).find("_EJ0"), std::string::npos);
  EXPECT_NE(dsdt.find("_EJ0", second), std::string::npos);
  // The second's _MAT says that it is there, although it is not yet.
  EXPECT_NE(dsdt.find(MadtCpuEntry(two, 1, true), second), std::string::npos);
}

TEST(Acpi, MadtListsIdsAbove254InLongEntries) {
  std::vector<VcpuPlace> places;
  for (uint32_t core = 0; core < 300; ++core) places.push_back({.core = core, .l2 = core});
  auto topology = GuestTopology::Create(places);
  ASSERT_TRUE(topology);
  const std::string madt = BuildMadt(*topology, 300);
  EXPECT_EQ(madt.size(), 36u + 8 + 255 * 8 + 45 * 16 + 12);
  EXPECT_EQ(madt[44 + 255 * 8], 9);
}

uint32_t Word(const std::string& bytes, size_t offset) {
  uint32_t word;
  std::memcpy(&word, bytes.data() + offset, sizeof(word));
  return word;
}

TEST(Acpi, MadtSaysWhichCpusMayCome) {
  const std::string madt = BuildMadt(Machine(3, 1), 2);
  EXPECT_EQ(Word(madt, 44 + 4), 1u);  // enabled
  EXPECT_EQ(Word(madt, 44 + 8 + 4), 1u);
  EXPECT_EQ(Word(madt, 44 + 2 * 8 + 4), 2u);  // online-capable alone
}

// Two packages, each a node; node 1's RAM lies on both sides of the device hole.
TEST(Acpi, SratTellsTheNodeOfEveryCpuAndRange) {
  const VcpuPlace places[] = {{.node = 0}, {.package = 1, .l2 = 1, .l3 = 1, .node = 1}};
  auto topology = GuestTopology::Create(places);
  ASSERT_TRUE(topology);
  const GuestMemory::NodeRange ram[] = {
      {0, {0}, 1ull << 30}, {1, {1ull << 30}, 2ull << 30}, {1, {4ull << 30}, 5ull << 30}};
  const std::string srat = BuildSrat(*topology, ram);
  EXPECT_EQ(Sum(srat), 0);
  ASSERT_EQ(srat.size(), 48u + 2 * 24 + 3 * 40);
  EXPECT_EQ(Hex(srat.substr(48 + 24, 24)), "021800000100000001000000010000000000000000000000");
  EXPECT_EQ(Hex(srat.substr(96 + 80, 40)),
            "012801000000"
            "0000"
            "0000000001000000"
            "0000004001000000"
            "00000000"
            "01000000"
            "0000000000000000");
}

TEST(Acpi, SlitIsTheMatrix) {
  const std::vector<uint8_t> rows[] = {{10, 21}, {21, 10}};
  const std::string slit = BuildSlit(rows);
  EXPECT_EQ(Sum(slit), 0);
  EXPECT_EQ(Hex(slit.substr(36)),
            "0200000000000000"
            "0a15150a");
}

TEST(Acpi, TablesOfTheLargestMachineFit) {
  const std::vector<MemoryNode> nodes(64, MemoryNode{1 << 20, {}});
  auto memory = GuestMemory::Create(64 << 20, nodes);
  ASSERT_TRUE(memory);
  const GuestTopology topology = Machine(GuestTopology::kMaxVcpus, 1);
  AcpiMachine machine{
      .topology = topology,
      .present = 1,
      .serial_port = true,
      .distances = std::vector<std::vector<uint8_t>>(64, std::vector<uint8_t>(64, 20))};
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
  AcpiMachine machine{
      .topology = topology, .present = 1, .virtio_devices = std::vector<MmioResource>(5000)};
  EXPECT_FALSE(WriteAcpiTables(**memory, machine));
}

}  // namespace
}  // namespace vmm
