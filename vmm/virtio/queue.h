// Queue: the device's side of one split virtqueue (virtio 1.2, 2.7).
//
// Every descriptor is copied once and judged as a copy; every buffer is checked against guest RAM
// once; both ring positions are ours and never read back. EVENT_IDX is spoken, INDIRECT_DESC is not
// offered: a chain then is never longer than the queue. x86-64 and arm64 only, so little-endian.
//
// Thread rule: reactor-bound. Errors: kInvalidArgument or kOutOfRange say which rule the driver
// broke; the queue is of no use afterwards.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/base/result.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/virtio/device.h"

namespace vmm::virtio {

// The buffers of one request, in guest RAM: the guest may change their bytes at any time, not their
// places. The spans live until the next Pop.
struct Chain {
  uint16_t head = 0;
  std::span<const iovec> readable;  // by the device
  std::span<const iovec> writable;
  size_t readable_bytes = 0;
  size_t writable_bytes = 0;
};

// Copies from the buffers' byte `offset` on; the number of bytes copied, less than asked for at the
// buffers' end.
size_t CopyFrom(std::span<const iovec> buffers, size_t offset, std::span<std::byte> out);
size_t CopyTo(std::span<const iovec> buffers, size_t offset, std::span<const std::byte> in);
// The same buffers without what lies outside [offset, offset + length).
void Subrange(std::span<const iovec> buffers, size_t offset, size_t length,
              std::vector<iovec>& out);

class Queue {
 public:
  // More than any request of a driver of ours: a disk request has at most 1.3 MiB on Linux.
  static constexpr size_t kMaxChainBytes = 64 << 20;

  // `memory` must outlive the queue. `max_size`: what the device offered.
  static base::Result<Queue> Create(const GuestMemory& memory, const QueueConfig& config,
                                    uint16_t max_size, bool event_idx);

  // The next request; nullopt when there is none, after arming the driver's notification.
  base::Result<std::optional<Chain>> Pop();
  // Takes back the last Pop, so that the same chain comes again. Once for each Pop.
  void UndoPop() { --next_available_; }
  // Gives a chain back; `written` bytes from the start of its writable part are the device's.
  void Push(uint16_t head, size_t written);
  // True when the driver asked to be told of what was pushed since the last call.
  bool TakeSignal();
  // How many were pushed since then.
  uint16_t untold() const { return static_cast<uint16_t>(next_used_ - signalled_used_); }

  uint16_t size() const { return size_; }

 private:
  Queue() = default;
  base::Result<bool> HasNext();
  base::Result<Chain> Walk(uint16_t head);
  uint16_t LoadIndex(const std::byte* at) const;

  const GuestMemory* memory_ = nullptr;
  std::byte* descriptors_ = nullptr;  // guest RAM, checked by Create
  std::byte* available_ = nullptr;
  std::byte* used_ = nullptr;
  uint16_t size_ = 0;
  bool event_idx_ = false;
  uint16_t next_available_ = 0;
  uint16_t seen_available_ = 0;
  uint16_t next_used_ = 0;
  uint16_t signalled_used_ = 0;
  std::vector<iovec> buffers_;
};

}  // namespace vmm::virtio
