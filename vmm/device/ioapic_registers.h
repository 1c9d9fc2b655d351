// Numbers of the I/O APIC (Intel 82093AA datasheet, 3.0 "Register Description").
#pragma once

#include <cstdint>

namespace vmm::ioapic {

// Memory-mapped: an index and a window.
inline constexpr uint64_t kSelect = 0x00;
inline constexpr uint64_t kWindow = 0x10;

// Behind the window.
inline constexpr uint32_t kId = 0x00;
inline constexpr uint32_t kVersion = 0x01;
inline constexpr uint32_t kArbitration = 0x02;
// Two registers a pin: low half, high half.
inline constexpr uint32_t kFirstRedirection = 0x10;

inline constexpr uint32_t kIdMask = 0x0f000000;
// Version 0x11 has no EOI register, which only level-triggered pins would need.
inline constexpr uint32_t kVersionNumber = 0x11;
inline constexpr unsigned kMaxEntryShift = 16;

// A redirection entry.
inline constexpr uint64_t kVectorMask = 0xff;
inline constexpr unsigned kDeliveryModeShift = 8;
inline constexpr uint64_t kDeliveryModeMask = 7;
inline constexpr uint64_t kDeliveryFixed = 0;
inline constexpr uint64_t kDeliveryLowestPriority = 1;
inline constexpr uint64_t kLogicalDestination = 1ull << 11;
inline constexpr uint64_t kDeliveryStatus = 1ull << 12;
inline constexpr uint64_t kRemoteIrr = 1ull << 14;
inline constexpr uint64_t kLevelTriggered = 1ull << 15;
inline constexpr uint64_t kMasked = 1ull << 16;
inline constexpr unsigned kDestinationShift = 56;
// KVM_FEATURE_MSI_EXT_DEST_ID: bits 14:8 of the destination.
inline constexpr unsigned kExtendedDestinationShift = 49;
inline constexpr uint64_t kExtendedDestinationMask = 0x7f;
inline constexpr uint64_t kReadOnly = kDeliveryStatus | kRemoteIrr;

// The message that an entry stands for (Intel SDM Vol. 3A, "Message Signalled Interrupts").
inline constexpr uint64_t kMsiAddress = 0xfee00000;
inline constexpr unsigned kMsiDestinationShift = 12;
inline constexpr uint64_t kMsiLogicalDestination = 1 << 2;
// KVM_CAP_X2APIC_API: bits 31:8 of the destination are bits 63:40 of the address.
inline constexpr unsigned kMsiHighDestinationShift = 40;

}  // namespace vmm::ioapic
