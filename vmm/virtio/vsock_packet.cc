#include "vmm/virtio/vsock_packet.h"

#include "vmm/virtio/queue.h"

namespace vmm::virtio {

std::optional<VsockHeader> ParseVsockHeader(std::span<const iovec> buffers, size_t total_bytes) {
  VsockHeader header;
  if (CopyFrom(buffers, 0, std::as_writable_bytes(std::span(&header, 1))) != sizeof(header)) {
    return std::nullopt;
  }
  if (header.length > kVsockMaxPayload || header.length > total_bytes - sizeof(header)) {
    return std::nullopt;
  }
  return header;
}

}  // namespace vmm::virtio
