// virtio-net's numbers, and the header in front of each frame: what a driver may ask for.
// <linux/virtio_net.h> does not compile as C++.
// Thread rule: pure function.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vmm::virtio {

// virtio 1.2, 5.1.3 "Feature bits"
inline constexpr uint64_t kNetCsum = 1ull << 0;
inline constexpr uint64_t kNetGuestCsum = 1ull << 1;
inline constexpr uint64_t kNetMtu = 1ull << 3;
inline constexpr uint64_t kNetMac = 1ull << 5;
inline constexpr uint64_t kNetGuestTso4 = 1ull << 7;
inline constexpr uint64_t kNetGuestTso6 = 1ull << 8;
inline constexpr uint64_t kNetGuestEcn = 1ull << 9;
inline constexpr uint64_t kNetHostTso4 = 1ull << 11;
inline constexpr uint64_t kNetHostTso6 = 1ull << 12;
inline constexpr uint64_t kNetHostEcn = 1ull << 13;
inline constexpr uint64_t kNetMrgRxbuf = 1ull << 15;

// virtio 1.2, 5.1.6 "Device Operation": struct virtio_net_hdr.
struct NetHeader {
  uint8_t flags;         // 0x00
  uint8_t gso_type;      // 0x01
  uint16_t hdr_len;      // 0x02
  uint16_t gso_size;     // 0x04
  uint16_t csum_start;   // 0x06
  uint16_t csum_offset;  // 0x08
  uint16_t num_buffers;  // 0x0a
};
static_assert(sizeof(NetHeader) == 12 && offsetof(NetHeader, num_buffers) == 10);

inline constexpr uint8_t kNetNeedsCsum = 1;
inline constexpr uint8_t kNetDataValid = 2;
inline constexpr uint8_t kNetRscInfo = 4;
inline constexpr uint8_t kNetGsoNone = 0;
inline constexpr uint8_t kNetGsoTcp4 = 1;
inline constexpr uint8_t kNetGsoUdp = 3;
inline constexpr uint8_t kNetGsoTcp6 = 4;
inline constexpr uint8_t kNetGsoEcn = 0x80;

// An Ethernet header with one VLAN tag, and the largest IP packet.
inline constexpr size_t kMaxFrameBytes = 14 + 4 + 65535;
inline constexpr size_t kMinFrameBytes = 14;

// True if a frame of `frame_bytes` behind `header` (a copy: the guest may change its own) follows
// virtio 1.2, 5.1.6.2, with the negotiated `features`. The host's kernel checks what it takes from
// a tap, too; it has been wrong before.
bool IsValidTxHeader(const NetHeader& header, size_t frame_bytes, uint64_t features);

}  // namespace vmm::virtio
