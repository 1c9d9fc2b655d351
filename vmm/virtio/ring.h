// The split virtqueue as it lies in guest memory (virtio 1.2, 2.7): numbers only. <linux/
// virtio_ring.h> does not compile as C++.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vmm::virtio {

// virtio 1.2, 2.7.5
struct RingDescriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};
static_assert(sizeof(RingDescriptor) == 16 && offsetof(RingDescriptor, next) == 14);

inline constexpr uint16_t kDescriptorNext = 1;
inline constexpr uint16_t kDescriptorWrite = 2;
inline constexpr uint16_t kDescriptorIndirect = 4;

// virtio 1.2, 2.7.8
struct RingUsedElement {
  uint32_t head;
  uint32_t length;
};
static_assert(sizeof(RingUsedElement) == 8);

// Both rings: flags, index, entries, and one event index at the end.
inline constexpr size_t kRingFlags = 0;
inline constexpr size_t kRingIndex = 2;
inline constexpr size_t kRingEntries = 4;

inline constexpr uint16_t kAvailableNoInterrupt = 1;

}  // namespace vmm::virtio
