#include "vmm/device/ioapic.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/log.h"
#include "vmm/device/ioapic_registers.h"

namespace vmm {

IoApic::IoApic(uint32_t pins, bool extended_destinations, InterruptRouter& router)
    : extended_destinations_(extended_destinations),
      router_(router),
      entries_(pins, ioapic::kMasked),
      current_(pins) {}

// Only whole 32-bit registers can be accessed (82093AA, 3.0); anything else reads as 0.
void IoApic::Read(uint64_t offset, std::span<std::byte> data) {
  std::fill(data.begin(), data.end(), std::byte{0});
  if (data.size() != sizeof(uint32_t)) return;
  const std::lock_guard lock(mutex_);
  uint32_t value = 0;
  if (offset == ioapic::kSelect) value = select_;
  if (offset == ioapic::kWindow) value = ReadWindowLocked();
  std::memcpy(data.data(), &value, sizeof(value));
}

void IoApic::Write(uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != sizeof(uint32_t)) return;
  uint32_t value;
  std::memcpy(&value, data.data(), sizeof(value));
  const std::lock_guard lock(mutex_);
  if (offset == ioapic::kSelect) select_ = value & 0xff;
  if (offset == ioapic::kWindow) WriteWindowLocked(value);
}

uint32_t IoApic::ReadWindowLocked() const {
  switch (select_) {
    case ioapic::kId:
    case ioapic::kArbitration:
      return id_;
    case ioapic::kVersion:
      return ioapic::kVersionNumber | static_cast<uint32_t>(entries_.size() - 1)
                                          << ioapic::kMaxEntryShift;
    default:
      break;
  }
  if (select_ < ioapic::kFirstRedirection) return 0;
  const size_t pin = (select_ - ioapic::kFirstRedirection) / 2;
  if (pin >= entries_.size()) return 0;
  const uint64_t entry = entries_[pin];
  return static_cast<uint32_t>(select_ % 2 == 0 ? entry : entry >> 32);
}

void IoApic::WriteWindowLocked(uint32_t value) {
  if (select_ == ioapic::kId) {
    id_ = value & ioapic::kIdMask;
    return;
  }
  if (select_ < ioapic::kFirstRedirection) return;
  const size_t pin = (select_ - ioapic::kFirstRedirection) / 2;
  if (pin >= entries_.size()) return;
  uint64_t& entry = entries_[pin];
  if (select_ % 2 == 0) {
    const uint64_t low = value & ~ioapic::kReadOnly;
    entry = (entry & ~uint64_t{UINT32_MAX}) | low;
  } else {
    entry = (entry & UINT32_MAX) | uint64_t{value} << 32;
  }
  UpdatePinLocked(pin);
}

void IoApic::UpdatePinLocked(size_t pin) {
  const std::optional<kvm::MsiMessage> message = MessageOf(entries_[pin]);
  if (message == current_[pin]) return;
  const auto number = static_cast<uint32_t>(pin);
  const base::Result<void> done =
      message ? router_.Connect(number, *message) : router_.Disconnect(number);
  current_[pin] = message;
  // The guest decides how often this happens, so it is said once.
  if (!done && !failure_logged_) {
    failure_logged_ = true;
    LOG_ERROR("I/O APIC pin {}: {}", pin, done.error().Message());
  }
}

std::optional<kvm::MsiMessage> IoApic::MessageOf(uint64_t entry) const {
  if ((entry & ioapic::kMasked) != 0) return std::nullopt;
  const uint64_t mode = entry >> ioapic::kDeliveryModeShift & ioapic::kDeliveryModeMask;
  // SMI, NMI, INIT and ExtINT have no source here: there is no such line.
  if (mode != ioapic::kDeliveryFixed && mode != ioapic::kDeliveryLowestPriority) {
    return std::nullopt;
  }
  kvm::MsiMessage message;
  message.address = ioapic::kMsiAddress | (entry >> ioapic::kDestinationShift)
                                              << ioapic::kMsiDestinationShift;
  if ((entry & ioapic::kLogicalDestination) != 0) {
    message.address |= ioapic::kMsiLogicalDestination;
  }
  if (extended_destinations_) {
    const uint64_t high =
        entry >> ioapic::kExtendedDestinationShift & ioapic::kExtendedDestinationMask;
    message.address |= high << ioapic::kMsiHighDestinationShift;
  }
  message.data =
      static_cast<uint32_t>((entry & ioapic::kVectorMask) | mode << ioapic::kDeliveryModeShift);
  return message;
}

}  // namespace vmm
