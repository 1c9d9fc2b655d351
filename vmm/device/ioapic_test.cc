#include "vmm/device/ioapic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>

#include "vmm/device/ioapic_registers.h"

namespace vmm {
namespace {

using ::testing::ElementsAre;

class FakeRouter : public InterruptRouter {
 public:
  base::Result<void> Connect(uint32_t pin, const kvm::MsiMessage& message) override {
    calls.push_back(fmt::format("+{} {:x} {:x}", pin, message.address, message.data));
    return base::Ok();
  }
  base::Result<void> Disconnect(uint32_t pin) override {
    calls.push_back(fmt::format("-{}", pin));
    return base::Ok();
  }
  std::vector<std::string> calls;
};

class IoApicTest : public ::testing::Test {
 protected:
  void Write32(uint64_t offset, uint32_t value) {
    std::array<std::byte, 4> data;
    std::memcpy(data.data(), &value, 4);
    apic_.Write(offset, data);
  }
  uint32_t Read32(uint64_t offset) {
    std::array<std::byte, 4> data;
    apic_.Read(offset, data);
    uint32_t value;
    std::memcpy(&value, data.data(), 4);
    return value;
  }
  void Set(uint32_t reg, uint32_t value) {
    Write32(ioapic::kSelect, reg);
    Write32(ioapic::kWindow, value);
  }
  uint32_t Get(uint32_t reg) {
    Write32(ioapic::kSelect, reg);
    return Read32(ioapic::kWindow);
  }
  FakeRouter router_;
  IoApic apic_{120, false, router_};
};

TEST_F(IoApicTest, TellsItsPins) { EXPECT_EQ(Get(ioapic::kVersion), 0x00770011u); }

TEST_F(IoApicTest, StartsMasked) {
  EXPECT_EQ(Get(0x10), 0x10000u);
  EXPECT_EQ(Get(0x10 + 2 * 119), 0x10000u);
  EXPECT_TRUE(router_.calls.empty());
}

TEST_F(IoApicTest, UnmaskingSendsTheMessageOfTheEntry) {
  Set(0x10 + 2 * 16 + 1, 0x03000000);
  EXPECT_TRUE(router_.calls.empty());
  Set(0x10 + 2 * 16, 0x0831);  // logical, fixed, vector 0x31
  EXPECT_THAT(router_.calls, ElementsAre("+16 fee03004 31"));
  Set(0x10 + 2 * 16, 0x0831);  // no change, no call
  EXPECT_EQ(router_.calls.size(), 1u);
  Set(0x10 + 2 * 16, 0x10831);
  EXPECT_EQ(router_.calls.back(), "-16");
  EXPECT_EQ(Get(0x10 + 2 * 16), 0x10831u);
}

TEST_F(IoApicTest, ReadOnlyBitsStayClear) {
  Set(0x10, 0x15031);
  EXPECT_EQ(Get(0x10), 0x10031u);
}

TEST_F(IoApicTest, LevelEntriesWorkAsEdges) {
  Set(0x10, 0x8031);
  EXPECT_THAT(router_.calls, ElementsAre("+0 fee00000 31"));
}

TEST_F(IoApicTest, ModesWithoutSourceSendNothing) {
  Set(0x10, 0x0431);  // NMI
  Set(0x10, 0x0731);  // ExtINT
  EXPECT_TRUE(router_.calls.empty());
}

TEST_F(IoApicTest, RegistersThatAreNotThereAreIgnored) {
  IoApic small(24, false, router_);
  const auto write = [&](uint64_t offset, uint32_t value) {
    std::array<std::byte, 4> data;
    std::memcpy(data.data(), &value, 4);
    small.Write(offset, data);
  };
  for (const uint32_t reg : {0x03u, 0x0fu, 0x10u + 2 * 24, 0xffu}) {
    write(ioapic::kSelect, reg);
    write(ioapic::kWindow, 0x31);
    std::array<std::byte, 4> data;
    small.Read(ioapic::kWindow, data);
    EXPECT_EQ(data[0], std::byte{0}) << reg;
  }
  EXPECT_TRUE(router_.calls.empty());
}

TEST_F(IoApicTest, OddAccessesAreIgnored) {
  std::array<std::byte, 1> one = {std::byte{0x31}};
  std::array<std::byte, 8> eight = {};
  Write32(ioapic::kSelect, 0x10);
  apic_.Write(ioapic::kWindow, one);
  apic_.Write(ioapic::kWindow, eight);
  apic_.Read(ioapic::kWindow, eight);
  EXPECT_EQ(eight[0], std::byte{0});
  Write32(0x40, 5);
  EXPECT_EQ(Read32(0x40), 0u);
  EXPECT_TRUE(router_.calls.empty());
}

TEST(IoApicExtended, CarriesFifteenBitDestinations) {
  FakeRouter router;
  IoApic apic(24, true, router);
  const auto write = [&](uint64_t offset, uint32_t value) {
    std::array<std::byte, 4> data;
    std::memcpy(data.data(), &value, 4);
    apic.Write(offset, data);
  };
  write(0, 0x11);
  write(0x10, 0x2c020000);  // destination 0x12c: low byte 0x2c, bits 14:8 = 1
  write(0, 0x10);
  write(0x10, 0x31);
  EXPECT_THAT(router.calls, ElementsAre("+0 100fee2c000 31"));
}

}  // namespace
}  // namespace vmm
