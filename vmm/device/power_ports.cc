#include "vmm/device/power_ports.h"

#include <algorithm>

namespace vmm {

namespace {
// SLP_TYP in bits 4:2, SLP_EN bit 5. \_S5 of our DSDT says 5 (vmm/arch/x86_64/layout.h; a test
// holds the two together).
constexpr uint8_t kSleepEnable = 1 << 5;
constexpr uint8_t kSleepTypeMask = 7;
constexpr unsigned kSleepTypeShift = 2;
constexpr uint8_t kSleepTypeS5 = 5;
constexpr uint8_t kResetValue = 1;
constexpr uint8_t kPulseReset = 0xfe;

constexpr uint64_t kSleepControl = 0;
constexpr uint64_t kReset = 2;
}  // namespace

void AcpiPowerPorts::Read(uint64_t, std::span<std::byte> data) {
  // Sleep status with WAK_STS clear: never slept.
  std::fill(data.begin(), data.end(), std::byte{0});
}

void AcpiPowerPorts::Write(uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != 1) return;
  const auto value = std::to_integer<uint8_t>(data[0]);
  if (offset == kReset && value == kResetValue) callback_(PowerEvent::kReset);
  const bool sleep = (value & kSleepEnable) != 0;
  const bool off = (value >> kSleepTypeShift & kSleepTypeMask) == kSleepTypeS5;
  if (offset == kSleepControl && sleep && off) callback_(PowerEvent::kPowerOff);
}

void KeyboardResetPort::Read(uint64_t, std::span<std::byte> data) {
  // Input buffer empty: the next command may be written at once.
  std::fill(data.begin(), data.end(), std::byte{0});
}

void KeyboardResetPort::Write(uint64_t, std::span<const std::byte> data) {
  if (data.size() == 1 && std::to_integer<uint8_t>(data[0]) == kPulseReset) {
    callback_(PowerEvent::kReset);
  }
}

}  // namespace vmm
