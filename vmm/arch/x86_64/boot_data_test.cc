#include "vmm/arch/x86_64/boot_data.h"

#include <asm/bootparam.h>
#include <gtest/gtest.h>

#include "vmm/arch/x86_64/command_line.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/pvh.h"

namespace vmm {
namespace {

constexpr uint64_t kMiB = 1 << 20;

TEST(MemoryMap, LeavesTheTablesAndTheHoleOut) {
  auto memory = GuestMemory::Create(GuestMemory::kHoleStart + 512 * kMiB);
  ASSERT_TRUE(memory);
  const auto map = BuildMemoryMap(**memory);
  ASSERT_EQ(map.size(), 4u);
  EXPECT_EQ(map[1].type, 2u);
  EXPECT_EQ(map[1].start + map[1].size, kMiB);
  EXPECT_EQ(map[2].start + map[2].size, 3ull << 30);
  EXPECT_EQ(map[3].start, 4ull << 30);
  EXPECT_EQ(map[3].size, 512 * kMiB);
}

TEST(BootData, ZeroPageFor64BitEntry) {
  auto memory = GuestMemory::Create(64 * kMiB);
  ASSERT_TRUE(memory);
  LoadedKernel kernel;
  ASSERT_TRUE(WriteBootData(**memory, kernel, {.start = 0x2000000, .size = 4096}, "a=b"));
  const auto params = (*memory)->Load<boot_params>({layout::kZeroPage});
  ASSERT_TRUE(params);
  EXPECT_EQ(params->acpi_rsdp_addr, layout::kRsdp);
  EXPECT_EQ(params->hdr.ramdisk_image, 0x2000000u);
  EXPECT_EQ(params->e820_entries, 3);
  EXPECT_EQ(params->hdr.header, 0x53726448u);
  EXPECT_EQ(*(*memory)->Load<uint32_t>({layout::kCommandLine}), 0x00623d61u);
  // 2 MiB page number 513 is the second entry of the second directory.
  EXPECT_EQ(*(*memory)->Load<uint64_t>({layout::kPageDirectories + 4096 + 8}), 0x40200083u);
}

TEST(BootData, StartInfoForPvh) {
  auto memory = GuestMemory::Create(64 * kMiB);
  ASSERT_TRUE(memory);
  LoadedKernel kernel;
  kernel.entry_kind = KernelEntry::kPvh32;
  ASSERT_TRUE(WriteBootData(**memory, kernel, {.start = 0x2000000, .size = 4096}, ""));
  const auto info = (*memory)->Load<PvhStartInfo>({layout::kPvhStartInfo});
  ASSERT_TRUE(info);
  EXPECT_EQ(info->magic, 0x336ec578u);
  EXPECT_EQ(info->rsdp_paddr, layout::kRsdp);
  EXPECT_EQ(info->nr_modules, 1u);
  const auto module = (*memory)->Load<PvhModule>({info->modlist_paddr});
  ASSERT_TRUE(module);
  EXPECT_EQ(module->paddr, 0x2000000u);
  EXPECT_EQ(module->size, 4096u);
}

TEST(CommandLine, RefusesWhatLinuxWouldCut) {
  auto line = BuildCommandLine(true, "console=ttyS0");
  ASSERT_TRUE(line);
  EXPECT_NE(line->find("8250.nr_uarts=1 console=ttyS0"), std::string::npos);
  EXPECT_EQ(line->find("nomodule"), std::string::npos);
  EXPECT_FALSE(BuildCommandLine(true, std::string(2048, 'x')));
  EXPECT_FALSE(BuildCommandLine(true, std::string("a\0b", 3)));
}

}  // namespace
}  // namespace vmm
