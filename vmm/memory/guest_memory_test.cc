#include "vmm/memory/guest_memory.h"

#include <gtest/gtest.h>

#include <array>

namespace vmm {
namespace {

constexpr uint64_t kMiB = 1 << 20;

TEST(GuestMemory, OneRegionBelowTheHole) {
  auto memory = GuestMemory::Create(16 * kMiB);
  ASSERT_TRUE(memory) << memory.error().Message();
  ASSERT_EQ((*memory)->regions().size(), 1u);
  EXPECT_EQ((*memory)->regions()[0].size, 16 * kMiB);
  EXPECT_EQ((*memory)->regions()[0].memfd_offset, 0u);
}

TEST(GuestMemory, RamGoesOnAtFourGiB) {
  auto memory = GuestMemory::Create(GuestMemory::kHoleStart + 8 * kMiB);
  ASSERT_TRUE(memory) << memory.error().Message();
  const auto regions = (*memory)->regions();
  ASSERT_EQ(regions.size(), 2u);
  EXPECT_EQ(regions[1].start.value, 4ull << 30);
  EXPECT_EQ(regions[1].size, 8 * kMiB);
  EXPECT_EQ(regions[1].memfd_offset, GuestMemory::kHoleStart);
  // The two parts touch in the memfd, not in the guest.
  EXPECT_FALSE((*memory)->Slice({GuestMemory::kHoleStart - 4}, 8));
  EXPECT_FALSE((*memory)->Slice({GuestMemory::kHoleStart}, 1));
  ASSERT_TRUE((*memory)->Store<uint32_t>({GuestMemory::kHoleEnd}, 0x12345678));
  EXPECT_EQ(*(*memory)->Load<uint32_t>({GuestMemory::kHoleEnd}), 0x12345678u);
}

TEST(GuestMemory, RefusesRangesThatWrapOrLeave) {
  auto memory = GuestMemory::Create(kMiB);
  ASSERT_TRUE(memory);
  EXPECT_TRUE((*memory)->Slice({0}, kMiB));
  EXPECT_TRUE((*memory)->Slice({kMiB}, 0));
  EXPECT_FALSE((*memory)->Slice({0}, kMiB + 1));
  EXPECT_FALSE((*memory)->Slice({kMiB - 1}, 2));
  EXPECT_FALSE((*memory)->Slice({kMiB - 1}, UINT64_MAX));
  EXPECT_FALSE((*memory)->Slice({UINT64_MAX}, 1));
  EXPECT_FALSE((*memory)->Slice({UINT64_MAX}, UINT64_MAX));
  EXPECT_FALSE((*memory)->Load<uint64_t>({kMiB - 7}));
  EXPECT_EQ((*memory)->Load<uint64_t>({kMiB - 7}).error().code(), base::Code::kOutOfRange);
}

TEST(GuestMemory, ReadGivesWhatWriteTook) {
  auto memory = GuestMemory::Create(kMiB);
  ASSERT_TRUE(memory);
  const std::array<std::byte, 3> in = {std::byte{1}, std::byte{2}, std::byte{3}};
  std::array<std::byte, 3> out = {};
  ASSERT_TRUE((*memory)->Write({4095}, in));
  ASSERT_TRUE((*memory)->Read({4095}, out));
  EXPECT_EQ(in, out);
  EXPECT_FALSE((*memory)->Write({kMiB - 2}, in));
}

TEST(GuestMemory, FillReachesBothRegions) {
  auto memory = GuestMemory::Create(GuestMemory::kHoleStart + 8 * kMiB);
  ASSERT_TRUE(memory);
  const std::array<std::byte, 2> in = {std::byte{1}, std::byte{2}};
  ASSERT_TRUE((*memory)->Fill({GuestMemory::kHoleStart - 2}, in));
  ASSERT_TRUE((*memory)->Fill({GuestMemory::kHoleEnd + 4095}, in));
  EXPECT_EQ(*(*memory)->Load<uint16_t>({GuestMemory::kHoleStart - 2}), 0x0201);
  EXPECT_EQ(*(*memory)->Load<uint16_t>({GuestMemory::kHoleEnd + 4095}), 0x0201);
  EXPECT_FALSE((*memory)->Fill({GuestMemory::kHoleStart - 1}, in));
}

TEST(GuestMemory, RefusesOddSizes) {
  EXPECT_FALSE(GuestMemory::Create(0));
  EXPECT_FALSE(GuestMemory::Create(4097));
  EXPECT_FALSE(GuestMemory::Create(UINT64_MAX & ~4095ull));
}

TEST(Checked, SaysOverflow) {
  EXPECT_EQ(*CheckedAdd<uint64_t>(1, 2), 3u);
  EXPECT_FALSE(CheckedAdd<uint64_t>(UINT64_MAX, 1));
  EXPECT_EQ(*CheckedMul<uint32_t>(3, 4), 12u);
  EXPECT_FALSE(CheckedMul<uint32_t>(1u << 31, 2));
}

}  // namespace
}  // namespace vmm
