#include "vmm/bus/bus.h"

#include <gtest/gtest.h>

#include <array>

namespace vmm {
namespace {

class RecordingDevice : public BusDevice {
 public:
  void Read(uint64_t offset, std::span<std::byte> data) override {
    last_offset = offset;
    for (std::byte& byte : data) byte = std::byte{7};
  }
  void Write(uint64_t offset, std::span<const std::byte> data) override {
    last_offset = offset;
    written = data.size();
  }
  uint64_t last_offset = 99;
  size_t written = 0;
};

TEST(Bus, GivesTheOffsetInTheRange) {
  Bus bus;
  RecordingDevice low, high;
  ASSERT_TRUE(bus.Insert(0x2000, 0x1000, high));
  ASSERT_TRUE(bus.Insert(0x1000, 0x1000, low));
  std::array<std::byte, 4> data;
  EXPECT_TRUE(bus.Read(0x1ffc, data));
  EXPECT_EQ(low.last_offset, 0xffcu);
  EXPECT_TRUE(bus.Write(0x2000, data));
  EXPECT_EQ(high.last_offset, 0u);
  EXPECT_EQ(high.written, 4u);
}

TEST(Bus, UnclaimedReadsAreAllOnes) {
  Bus bus;
  RecordingDevice device;
  ASSERT_TRUE(bus.Insert(0x1000, 0x10, device));
  std::array<std::byte, 2> data = {};
  EXPECT_FALSE(bus.Read(0x1010, data));
  EXPECT_EQ(data[0], std::byte{0xff});
  EXPECT_FALSE(bus.Read(0xfff, data));   // starts before
  EXPECT_FALSE(bus.Read(0x100f, data));  // ends after
  EXPECT_FALSE(bus.Write(UINT64_MAX, data));
  EXPECT_EQ(device.last_offset, 99u);
}

TEST(Bus, RefusesOverlapsAndWraps) {
  Bus bus;
  RecordingDevice device;
  ASSERT_TRUE(bus.Insert(0x1000, 0x10, device));
  EXPECT_FALSE(bus.Insert(0x1000, 0x10, device));
  EXPECT_FALSE(bus.Insert(0x100f, 1, device));
  EXPECT_FALSE(bus.Insert(0xfff, 2, device));
  EXPECT_FALSE(bus.Insert(0, 0x10000, device));
  EXPECT_FALSE(bus.Insert(5, 0, device));
  EXPECT_FALSE(bus.Insert(UINT64_MAX, 2, device));
  EXPECT_TRUE(bus.Insert(UINT64_MAX, 1, device));
  EXPECT_TRUE(bus.Insert(0x1010, 1, device));
  EXPECT_TRUE(bus.Insert(0xfff, 1, device));
}

}  // namespace
}  // namespace vmm
