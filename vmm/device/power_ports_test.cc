#include "vmm/device/power_ports.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>

#include "vmm/arch/x86_64/layout.h"

namespace vmm {
namespace {

class PowerTest : public ::testing::Test {
 protected:
  std::optional<PowerEvent> Write(BusDevice& device, uint64_t offset, uint8_t value) {
    event_.reset();
    const std::array<std::byte, 1> data = {std::byte{value}};
    device.Write(offset, data);
    return event_;
  }
  PowerCallback callback_ = [this](PowerEvent event) { event_ = event; };
  std::optional<PowerEvent> event_;
};

TEST_F(PowerTest, SleepRegisterTakesTheTypeOfTheDsdt) {
  AcpiPowerPorts ports(callback_);
  const uint8_t s5 = layout::kSleepTypeS5 << layout::kSleepTypeShift;
  EXPECT_EQ(Write(ports, 0, s5 | layout::kSleepEnable), PowerEvent::kPowerOff);
  EXPECT_EQ(Write(ports, 0, s5), std::nullopt);
  EXPECT_EQ(Write(ports, 0, layout::kSleepEnable | 3 << 2), std::nullopt);
  EXPECT_EQ(Write(ports, 1, s5 | layout::kSleepEnable), std::nullopt);
}

TEST_F(PowerTest, ResetRegister) {
  AcpiPowerPorts ports(callback_);
  const uint64_t offset = layout::kResetPort - layout::kPowerPort;
  EXPECT_EQ(Write(ports, offset, layout::kResetValue), PowerEvent::kReset);
  EXPECT_EQ(Write(ports, offset, 0), std::nullopt);
}

TEST_F(PowerTest, KeyboardControllerPulsesReset) {
  KeyboardResetPort port(callback_);
  EXPECT_EQ(Write(port, 0, 0xfe), PowerEvent::kReset);
  EXPECT_EQ(Write(port, 0, 0xd1), std::nullopt);
  std::array<std::byte, 1> status = {std::byte{0xff}};
  port.Read(0, status);
  EXPECT_EQ(std::to_integer<int>(status[0]) & 2, 0);  // ready for a command
}

}  // namespace
}  // namespace vmm
