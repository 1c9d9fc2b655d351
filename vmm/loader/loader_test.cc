#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/kernel_images.h"
#include "vmm/loader/initrd.h"
#include "vmm/loader/kernel.h"

namespace vmm {
namespace {

using ::testing::HasSubstr;
using testing_support::ElfParts;
using testing_support::MakeBzImage;
using testing_support::MakeElf;

constexpr uint64_t kMiB = 1 << 20;

std::span<const std::byte> Bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

class LoaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto memory = GuestMemory::Create(64 * kMiB);
    ASSERT_TRUE(memory);
    memory_ = std::move(*memory);
  }
  std::string Refusal(const std::string& image) {
    auto kernel = LoadKernel(Bytes(image), *memory_);
    return kernel ? "accepted" : kernel.error().Message();
  }
  std::unique_ptr<GuestMemory> memory_;
};

TEST_F(LoaderTest, ElfWithPvhNote) {
  auto kernel = LoadKernel(Bytes(MakeElf()), *memory_);
  ASSERT_TRUE(kernel) << kernel.error().Message();
  EXPECT_EQ(kernel->entry_kind, KernelEntry::kPvh32);
  EXPECT_EQ(kernel->entry, 0x1000010u);
  EXPECT_EQ(kernel->start, 0x1000000u);
  EXPECT_EQ(kernel->end, 0x1001000u);
  EXPECT_EQ(*memory_->Load<char>({0x1000000}), 'k');
}

TEST_F(LoaderTest, ElfWithoutNoteIsEnteredIn64Bit) {
  auto kernel = LoadKernel(Bytes(MakeElf([](ElfParts& p) { p.xen.header.n_type = 1; })), *memory_);
  ASSERT_TRUE(kernel) << kernel.error().Message();
  EXPECT_EQ(kernel->entry_kind, KernelEntry::kLinux64);
  EXPECT_EQ(kernel->entry, 0x1000000u);
}

TEST_F(LoaderTest, RefusesWhatIsNoKernel) {
  EXPECT_THAT(Refusal(""), HasSubstr("no kernel"));
  EXPECT_THAT(Refusal("\x7f"
                      "EL"),
              HasSubstr("no kernel"));
  EXPECT_THAT(Refusal("#!/bin/sh\n"), HasSubstr("no kernel"));
  EXPECT_THAT(Refusal("\x7f"
                      "ELF"),
              HasSubstr("past the file's end"));
  EXPECT_THAT(Refusal(std::string(4096, '\0')), HasSubstr("no kernel"));
}

TEST_F(LoaderTest, RefusesElfOfAnotherMachine) {
  EXPECT_THAT(Refusal(MakeElf([](ElfParts& p) { p.header.e_machine = EM_AARCH64; })),
              HasSubstr("x86-64"));
  EXPECT_THAT(Refusal(MakeElf([](ElfParts& p) { p.header.e_ident[EI_CLASS] = ELFCLASS32; })),
              HasSubstr("64-bit"));
  EXPECT_THAT(Refusal(MakeElf([](ElfParts& p) { p.header.e_type = ET_REL; })),
              HasSubstr("executable"));
}

TEST_F(LoaderTest, RefusesSegmentsOutsideFileOrRam) {
  EXPECT_THAT(Refusal(MakeElf([](ElfParts& p) { p.load.p_offset = UINT64_MAX; })),
              HasSubstr("past the file's end"));
  EXPECT_THAT(Refusal(MakeElf([](ElfParts& p) { p.load.p_memsz = UINT64_MAX; })),
              HasSubstr("not in RAM"));
  EXPECT_THAT(Refusal(MakeElf([](ElfParts& p) { p.load.p_paddr = 64 * kMiB - 1; })),
              HasSubstr("not in RAM"));
  EXPECT_THAT(Refusal(MakeElf([](ElfParts& p) { p.load.p_filesz = 8192; })),
              HasSubstr("larger in file"));
  EXPECT_THAT(Refusal(MakeElf([](ElfParts& p) { p.load.p_paddr = 0x7000; })),
              HasSubstr("below 1 MiB"));
}

TEST_F(LoaderTest, RefusesBadHeadersAndNotes) {
  EXPECT_THAT(Refusal(MakeElf([](ElfParts& p) { p.header.e_phnum = 0; })),
              HasSubstr("0 program headers"));
  EXPECT_THAT(Refusal(MakeElf([](ElfParts& p) { p.header.e_phnum = 65535; })),
              HasSubstr("65535 program headers"));
  EXPECT_THAT(Refusal(MakeElf([](ElfParts& p) { p.header.e_phoff = UINT64_MAX - 10; })),
              HasSubstr("past the file"));
  EXPECT_THAT(Refusal(MakeElf([](ElfParts& p) { p.xen.header.n_descsz = UINT32_MAX; })),
              HasSubstr("note"));
  EXPECT_THAT(Refusal(MakeElf([](ElfParts& p) { p.xen.header.n_namesz = UINT32_MAX; })),
              HasSubstr("note"));
  EXPECT_THAT(Refusal(MakeElf([](ElfParts& p) { p.xen.entry = 0x2000000; })),
              HasSubstr("in no loaded segment"));
}

TEST_F(LoaderTest, BzImageGoesToItsPreferredAddress) {
  auto kernel = LoadKernel(Bytes(MakeBzImage()), *memory_);
  ASSERT_TRUE(kernel) << kernel.error().Message();
  EXPECT_EQ(kernel->entry_kind, KernelEntry::kLinux64);
  EXPECT_EQ(kernel->entry, 0x1000200u);
  EXPECT_EQ(kernel->end, 0x1000000u + 8 * kMiB);
  EXPECT_EQ(kernel->setup_header.size(), 0x26cu - 0x1f1u);
  EXPECT_EQ(*memory_->Load<char>({0x1000000}), 'c');
}

TEST_F(LoaderTest, RefusesBadBzImages) {
  EXPECT_THAT(Refusal(MakeBzImage([](setup_header& h) { h.version = 0x20b; })),
              HasSubstr("boot protocol"));
  EXPECT_THAT(Refusal(MakeBzImage([](setup_header& h) { h.xloadflags = 0; })),
              HasSubstr("64-bit entry"));
  EXPECT_THAT(Refusal(MakeBzImage([](setup_header& h) { h.syssize = UINT32_MAX; })),
              HasSubstr("the file has"));
  EXPECT_THAT(Refusal(MakeBzImage([](setup_header& h) { h.syssize = 0; })),
              HasSubstr("the file has"));
  EXPECT_THAT(Refusal(MakeBzImage([](setup_header& h) { h.setup_sects = 255; })),
              HasSubstr("the file has"));
  EXPECT_THAT(Refusal(MakeBzImage([](setup_header& h) { h.init_size = UINT32_MAX; })),
              HasSubstr("not in RAM"));
  EXPECT_THAT(Refusal(MakeBzImage([](setup_header& h) { h.pref_address = UINT64_MAX & ~4095ull; })),
              HasSubstr("not in RAM"));
  EXPECT_THAT(Refusal(MakeBzImage([](setup_header& h) { h.pref_address = 0; })),
              HasSubstr("preferred address"));
}

TEST_F(LoaderTest, InitrdGoesToTheTopAndNeverOverTheKernel) {
  LoadedKernel kernel;
  kernel.start = 16 * kMiB;
  kernel.end = 48 * kMiB;
  auto initrd = PlaceInitrd(5000, kernel, *memory_);
  ASSERT_TRUE(initrd);
  EXPECT_EQ(initrd->start, 64 * kMiB - 8192);
  EXPECT_TRUE(PlaceInitrd(16 * kMiB, kernel, *memory_));
  EXPECT_FALSE(PlaceInitrd(16 * kMiB + 1, kernel, *memory_));
  EXPECT_FALSE(PlaceInitrd(UINT64_MAX, kernel, *memory_));
  EXPECT_EQ(PlaceInitrd(0, kernel, *memory_)->size, 0u);
}

}  // namespace
}  // namespace vmm
