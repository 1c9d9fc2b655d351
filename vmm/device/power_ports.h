// The ways in which a guest ends itself: the sleep and reset registers of hardware-reduced ACPI,
// and the keyboard controller's reset line. Thread rule: thread-safe, as the callback must be.
#pragma once

#include <functional>

#include "vmm/bus/device.h"

namespace vmm {

enum class PowerEvent { kPowerOff, kReset };
using PowerCallback = std::function<void(PowerEvent)>;

// Sleep control, sleep status and reset (ACPI 6.5, 4.8.3.6, 4.8.3.7): offsets 0, 1 and 2.
class AcpiPowerPorts : public BusDevice {
 public:
  explicit AcpiPowerPorts(PowerCallback callback) : callback_(std::move(callback)) {}
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  const PowerCallback callback_;
};

// Port 0x64 alone: command 0xFE pulses the reset line (Intel 8042; Linux "reboot=k"). There is no
// keyboard behind it.
class KeyboardResetPort : public BusDevice {
 public:
  explicit KeyboardResetPort(PowerCallback callback) : callback_(std::move(callback)) {}
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  const PowerCallback callback_;
};

}  // namespace vmm
