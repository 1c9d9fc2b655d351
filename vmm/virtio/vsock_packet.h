// The vsock packet header (virtio 1.2, 5.10.6 "Device Operation"). Thread rule: values, reentrant.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace vmm::virtio {

inline constexpr uint64_t kVsockHostCid = 2;
inline constexpr uint16_t kVsockTypeStream = 1;

enum class VsockOp : uint16_t {
  kInvalid = 0,
  kRequest = 1,
  kResponse = 2,
  kReset = 3,
  kShutdown = 4,
  kData = 5,  // VIRTIO_VSOCK_OP_RW
  kCreditUpdate = 6,
  kCreditRequest = 7,
};

// flags of kShutdown
inline constexpr uint32_t kVsockShutdownReceive = 1;
inline constexpr uint32_t kVsockShutdownSend = 2;
inline constexpr uint32_t kVsockShutdownBoth = 3;

// Little-endian, without padding on the wire.
struct [[gnu::packed]] VsockHeader {
  uint64_t source_cid = 0;         // 0x00
  uint64_t destination_cid = 0;    // 0x08
  uint32_t source_port = 0;        // 0x10
  uint32_t destination_port = 0;   // 0x14
  uint32_t length = 0;             // 0x18, of the payload
  uint16_t type = 0;               // 0x1c
  VsockOp op = VsockOp::kInvalid;  // 0x1e
  uint32_t flags = 0;              // 0x20
  uint32_t buffer_bytes = 0;       // 0x24, buf_alloc
  uint32_t forwarded_bytes = 0;    // 0x28, fwd_cnt, modulo 2^32
};
static_assert(sizeof(VsockHeader) == 44 && offsetof(VsockHeader, forwarded_bytes) == 40);

// The longest payload that a driver of ours sends (Linux: VIRTIO_VSOCK_MAX_PKT_BUF_SIZE), and the
// longest that we send.
inline constexpr uint32_t kVsockMaxPayload = 64 << 10;

// The header at the start of the packet in `buffers`; nullopt if they are too short for it or for
// the payload that it announces, or if that is longer than kVsockMaxPayload.
std::optional<VsockHeader> ParseVsockHeader(std::span<const iovec> buffers, size_t total_bytes);

}  // namespace vmm::virtio
