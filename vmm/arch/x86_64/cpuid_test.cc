#include "vmm/arch/x86_64/cpuid.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

namespace vmm {
namespace {

kvm_cpuid_entry2 Vendor(const char* name, uint32_t max) {
  kvm_cpuid_entry2 entry = {};
  entry.eax = max;
  std::memcpy(&entry.ebx, name, 4);
  std::memcpy(&entry.edx, name + 4, 4);
  std::memcpy(&entry.ecx, name + 8, 4);
  return entry;
}

std::vector<kvm_cpuid_entry2> Host(const char* vendor) {
  return {
      Vendor(vendor, 0xd),
      {.function = 1, .eax = 0x830f10, .ebx = 0x05100800, .ecx = ~0u, .edx = ~0u},
      {.function = 4, .index = 0, .flags = 1, .eax = 0xfc004121, .ebx = 0x1c0003f, .ecx = 63},
      {.function = 4, .index = 1, .flags = 1, .eax = 0xfc01c163, .ebx = 0x3c0003f, .ecx = 16383},
      {.function = 7, .index = 0, .flags = 1, .ebx = ~0u, .ecx = ~0u, .edx = ~0u},
      {.function = 0xb, .index = 0, .flags = 1},
      {.function = 0x1f, .index = 0, .flags = 1},
      {.function = 0x40000001, .eax = 0x1000},
      {.function = 0x80000000, .eax = 0x80000008},
      {.function = 0x80000001, .ecx = 4},
      {.function = 0x80000008, .eax = 0x3030, .ecx = 0xf0ff},
      {.function = 0x8000001e, .eax = 77},
  };
}

const kvm_cpuid_entry2* Find(const std::vector<kvm_cpuid_entry2>& entries, uint32_t leaf,
                             uint32_t index = 0) {
  const kvm_cpuid_entry2* found = nullptr;
  for (const kvm_cpuid_entry2& entry : entries) {
    if (entry.function != leaf || entry.index != index) continue;
    EXPECT_EQ(found, nullptr) << "leaf " << leaf << " index " << index << " is there twice";
    found = &entry;
  }
  return found;
}

class CpuidTest : public ::testing::Test {
 protected:
  std::vector<kvm_cpuid_entry2> Build(const char* host, uint32_t cores, uint32_t threads,
                                      size_t vcpu, CpuidOptions options = {}) {
    auto topology = GuestTopology::Uniform(cores, threads);
    EXPECT_TRUE(topology);
    topology_ = std::make_unique<GuestTopology>(std::move(*topology));
    const auto supported = Host(host);
    return CpuidBuilder(supported, *topology_, options).Build(vcpu);
  }
  std::unique_ptr<GuestTopology> topology_;
};

TEST_F(CpuidTest, LeafBHasEverySubleafAndItsTerminator) {
  const auto cpuid = Build("GenuineIntel", 2, 2, 3);
  const auto* thread = Find(cpuid, 0xb, 0);
  const auto* core = Find(cpuid, 0xb, 1);
  const auto* end = Find(cpuid, 0xb, 2);
  ASSERT_TRUE(thread && core && end);
  EXPECT_EQ(thread->eax, 1u);
  EXPECT_EQ(thread->ebx, 2u);
  EXPECT_EQ(thread->ecx, 0x100u);
  EXPECT_EQ(core->eax, 2u);
  EXPECT_EQ(core->ebx, 4u);
  EXPECT_EQ(core->ecx, 0x201u);
  EXPECT_EQ(end->ebx, 0u);
  EXPECT_EQ(end->ecx, 2u);
  for (const auto* entry : {thread, core, end}) EXPECT_EQ(entry->edx, 3u);
  EXPECT_EQ(Find(cpuid, 0x1f), nullptr);
}

TEST_F(CpuidTest, OneVcpuIsNoMultiprocessor) {
  const auto cpuid = Build("AuthenticAMD", 1, 1, 0);
  EXPECT_EQ(Find(cpuid, 1)->edx >> 28 & 1, 0u);
  EXPECT_EQ(Find(cpuid, 1)->ebx >> 16 & 0xff, 1u);
  EXPECT_EQ(Find(cpuid, 0xb, 0)->eax, 0u);
  EXPECT_EQ(Find(cpuid, 0xb, 0)->ebx, 1u);
  EXPECT_EQ(Find(cpuid, 0x80000001)->ecx & 2, 0u);
  EXPECT_EQ(Find(cpuid, 0x80000008)->ecx, 0u);
}

TEST_F(CpuidTest, IntelCachesAreSharedAsTheTopologySays) {
  const auto cpuid = Build("GenuineIntel", 4, 2, 0);
  const auto* l1 = Find(cpuid, 4, 0);
  const auto* l3 = Find(cpuid, 4, 1);
  ASSERT_TRUE(l1 && l3);
  EXPECT_EQ(l1->eax >> 14 & 0xfff, 1u);
  EXPECT_EQ(l3->eax >> 14 & 0xfff, 7u);
  EXPECT_EQ(l3->eax >> 26, 3u);
  EXPECT_EQ(l3->eax & 0x3fff, 0x163u);
  EXPECT_EQ(Find(cpuid, 4, 2)->eax, 0u);
  EXPECT_EQ(Find(cpuid, 0x8000001d), nullptr);
  EXPECT_EQ(Find(cpuid, 1)->edx >> 28 & 1, 1u);
  EXPECT_EQ(Find(cpuid, 1)->ebx >> 16 & 0xff, 8u);
}

TEST_F(CpuidTest, AmdLeavesDoNotDependOnTheHosts) {
  const auto cpuid = Build("AuthenticAMD", 3, 2, 5);
  // Core 2, thread 1.
  EXPECT_EQ(Find(cpuid, 1)->ebx >> 24, 5u);
  const auto* topology = Find(cpuid, 0x8000001e);
  ASSERT_TRUE(topology);
  EXPECT_EQ(topology->eax, 5u);
  EXPECT_EQ(topology->ebx, 0x102u);
  EXPECT_EQ(topology->ecx, 0u);
  EXPECT_EQ(Find(cpuid, 0x80000001)->ecx, 1u << 22 | 1u << 1);
  EXPECT_EQ(Find(cpuid, 0x80000008)->ecx, 3u << 12 | 5u);
  EXPECT_EQ(Find(cpuid, 0x8000001d, 1)->eax >> 14 & 0xfff, 7u);
  EXPECT_EQ(Find(cpuid, 0x8000001d, 1)->eax >> 26, 0u);
  EXPECT_EQ(Find(cpuid, 0x8000001d, 2)->eax, 0u);
  EXPECT_EQ(Find(cpuid, 0x4), nullptr);
  EXPECT_GE(Find(cpuid, 0x80000000)->eax, 0x8000001eu);
}

TEST_F(CpuidTest, HidesNestingCountersAndState) {
  const auto cpuid = Build("GenuineIntel", 1, 1, 0);
  const uint32_t ecx = Find(cpuid, 1)->ecx;
  EXPECT_EQ(ecx >> 5 & 1, 0u);
  EXPECT_EQ(ecx >> 15 & 1, 0u);
  EXPECT_EQ(ecx >> 31, 1u);
  EXPECT_EQ(ecx >> 24 & 1, 1u);
  EXPECT_EQ(Find(cpuid, 7)->edx >> 22 & 0xd, 0u);
  EXPECT_EQ(Find(cpuid, 0x80000001)->ecx >> 2 & 1, 0u);
  const auto without = Build("GenuineIntel", 1, 1, 0, {.tsc_deadline_timer = false});
  EXPECT_EQ(Find(without, 1)->ecx >> 24 & 1, 0u);
}

TEST_F(CpuidTest, ExtendedDestinationsOnlyWhenAsked) {
  EXPECT_EQ(Find(Build("GenuineIntel", 1, 1, 0), 0x40000001)->eax, 0x1000u);
  EXPECT_EQ(
      Find(Build("GenuineIntel", 1, 1, 0, {.extended_destination_ids = true}), 0x40000001)->eax,
      0x9000u);
}

TEST_F(CpuidTest, AnotherVendorIsNotOfferedHypercalls) {
  auto host = Host("AuthenticAMD");
  for (kvm_cpuid_entry2& entry : host) {
    if (entry.function == 0x40000001) entry.eax = 0xffff;
  }
  auto topology = GuestTopology::Uniform(2, 1);
  ASSERT_TRUE(topology);
  const auto own = CpuidBuilder(host, *topology, {.vendor = CpuVendor::kAmd}).Build(0);
  EXPECT_EQ(Find(own, 0x40000001)->eax, 0xffffu);
  const auto foreign = CpuidBuilder(host, *topology, {.vendor = CpuVendor::kIntel}).Build(0);
  EXPECT_EQ(Find(foreign, 0x40000001)->eax, 0xd77fu);
}

TEST_F(CpuidTest, AnotherVendorGetsThatVendorsLeaves) {
  const auto cpuid = Build("AuthenticAMD", 2, 1, 0, {.vendor = CpuVendor::kIntel});
  EXPECT_EQ(Find(cpuid, 0)->ebx, 0x756e6547u);  // "Genu"
  EXPECT_NE(Find(cpuid, 4, 0), nullptr);
  EXPECT_EQ(Find(cpuid, 0x8000001e), nullptr);
  EXPECT_EQ(Find(cpuid, 1)->eax, 0x50654u);
  const auto amd = Build("GenuineIntel", 2, 1, 1, {.vendor = CpuVendor::kAmd});
  EXPECT_EQ(Find(amd, 0)->ebx, 0x68747541u);  // "Auth"
  EXPECT_NE(Find(amd, 0x8000001e), nullptr);
}

// A machine of full levels, with a private L2 a core and an L3 a die.
std::vector<VcpuPlace> Full(uint32_t packages, uint32_t dies, uint32_t cores, uint32_t threads) {
  std::vector<VcpuPlace> places;
  for (uint32_t p = 0; p < packages; ++p) {
    for (uint32_t d = 0; d < dies; ++d) {
      for (uint32_t c = 0; c < cores; ++c) {
        for (uint32_t t = 0; t < threads; ++t) {
          places.push_back({.package = p,
                            .die = d,
                            .core = d * cores + c,
                            .thread = t,
                            .l2 = (p * dies + d) * cores + c,
                            .l3 = p * dies + d});
        }
      }
    }
  }
  return places;
}

// "EAX/EBX/ECX" of each sub-leaf, as a dump of a guest would show them.
std::string Dump(const std::vector<kvm_cpuid_entry2>& cpuid, uint32_t leaf) {
  std::string out;
  for (uint32_t index = 0; const kvm_cpuid_entry2* entry = Find(cpuid, leaf, index); ++index) {
    out +=
        fmt::format("{}{:x}/{:x}/{:x}", index == 0 ? "" : " ", entry->eax, entry->ebx, entry->ecx);
  }
  return out;
}

struct Golden {
  uint32_t packages, dies, cores, threads;
  const char* leaf_b;
  const char* leaf_1f;
};

// What guests of QEMU's own (right) encoding read; but in 0xB the last level counts the package,
// dies and all, where QEMU 7.2 leaves them out.
TEST(Cpuid, TopologyLeavesAreTheGoldenOnes) {
  constexpr Golden kGolden[] = {
      {1, 1, 1, 1, "0/1/100 0/1/201 0/0/2", ""},
      {1, 1, 2, 2, "1/2/100 2/4/201 0/0/2", ""},
      {1, 2, 2, 2, "1/2/100 3/8/201 0/0/2", "1/2/100 2/4/201 3/8/502 0/0/3"},
      {1, 1, 6, 1, "0/1/100 3/6/201 0/0/2", ""},
      {2, 2, 2, 1, "0/1/100 2/4/201 0/0/2", "0/1/100 1/2/201 2/4/502 0/0/3"},
      {1, 2, 4, 2, "1/2/100 4/10/201 0/0/2", "1/2/100 3/8/201 4/10/502 0/0/3"},
      {2, 1, 3, 1, "0/1/100 2/3/201 0/0/2", ""},
  };
  for (const char* vendor : {"GenuineIntel", "AuthenticAMD"}) {
    const auto host = Host(vendor);
    for (const Golden& golden : kGolden) {
      const auto places = Full(golden.packages, golden.dies, golden.cores, golden.threads);
      auto topology = GuestTopology::Create(places);
      ASSERT_TRUE(topology);
      const auto cpuid = CpuidBuilder(host, *topology, {}).Build(places.size() - 1);
      EXPECT_EQ(Dump(cpuid, 0xb), golden.leaf_b) << vendor;
      EXPECT_EQ(Dump(cpuid, 0x1f), golden.leaf_1f) << vendor;
    }
  }
}

TEST(Cpuid, AmdTellsItsLevelsUpToTheSocket) {
  const auto places = Full(2, 2, 2, 2);
  auto topology = GuestTopology::Create(places);
  ASSERT_TRUE(topology);
  const auto host = Host("AuthenticAMD");
  const auto cpuid = CpuidBuilder(host, *topology, {}).Build(13);
  EXPECT_EQ(Dump(cpuid, 0x80000026), "1/2/100 2/4/201 2/4/302 3/8/403 0/0/4");
  EXPECT_EQ(Find(cpuid, 0x80000026, 2)->edx, 13u);
  // One node a package, whatever the dies: the second package's.
  EXPECT_EQ(Find(cpuid, 0x8000001e)->ecx, 1u);
  EXPECT_GE(Find(cpuid, 0x80000000)->eax, 0x80000026u);
}

// Linux 6.1 makes packages of dies whose cores 0x1F counts as one.
TEST(Cpuid, DiesOfOneCpuAreCountedAsTwo) {
  const auto places = Full(1, 4, 1, 1);
  auto topology = GuestTopology::Create(places);
  ASSERT_TRUE(topology);
  for (const char* vendor : {"GenuineIntel", "AuthenticAMD"}) {
    const auto host = Host(vendor);
    const auto cpuid = CpuidBuilder(host, *topology, {}).Build(3);
    EXPECT_EQ(Dump(cpuid, 0x1f), "0/1/100 1/2/201 3/4/502 0/0/3") << vendor;
    EXPECT_EQ(Find(cpuid, 0x1f)->edx, 6u);
  }
}

TEST(Cpuid, DiesGetLeaf1F) {
  const VcpuPlace places[] = {{.die = 0, .core = 0, .l2 = 0, .l3 = 0},
                              {.die = 1, .core = 1, .l2 = 1, .l3 = 1}};
  auto topology = GuestTopology::Create(places);
  ASSERT_TRUE(topology);
  const auto host = Host("GenuineIntel");
  const auto cpuid = CpuidBuilder(host, *topology, {}).Build(1);
  EXPECT_EQ(Find(cpuid, 0)->eax, 0x1fu);
  EXPECT_EQ(Find(cpuid, 0x1f, 1)->ecx, 0x201u);
  EXPECT_EQ(Find(cpuid, 0x1f, 2)->ecx, 0x502u);
  EXPECT_EQ(Find(cpuid, 0x1f, 2)->eax, 2u);
  EXPECT_EQ(Find(cpuid, 0x1f, 3)->ecx, 3u);
  EXPECT_EQ(Find(cpuid, 0xb, 1)->eax, 2u);
}

}  // namespace
}  // namespace vmm
