#include "vmm/virtio/queue.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "vmm/virtio/ring.h"

namespace vmm::virtio {
namespace {

constexpr size_t kDescriptorBytes = sizeof(RingDescriptor);
constexpr size_t kAvailableEntryBytes = 2;
constexpr size_t kUsedEntryBytes = sizeof(RingUsedElement);
constexpr uint16_t kMaxQueueSize = 32768;

uint16_t* Index(std::byte* at) { return static_cast<uint16_t*>(static_cast<void*>(at)); }

base::Result<std::byte*> Ring(const GuestMemory& memory, const char* name, GuestAddress address,
                              size_t alignment, size_t length) {
  if (address.value % alignment != 0) {
    return base::MakeError(base::Code::kInvalidArgument, "{} at {:#x}: not {}-byte aligned", name,
                           address.value, alignment);
  }
  return TRY(memory.Slice(address, length), "{}", name).data();
}

template <class Copy>
size_t ForEachPart(std::span<const iovec> buffers, size_t offset, size_t length, Copy copy) {
  size_t done = 0;
  for (const iovec& buffer : buffers) {
    if (done == length) break;
    if (offset >= buffer.iov_len) {
      offset -= buffer.iov_len;
      continue;
    }
    const size_t part = std::min(buffer.iov_len - offset, length - done);
    copy(static_cast<std::byte*>(buffer.iov_base) + offset, done, part);
    done += part;
    offset = 0;
  }
  return done;
}

}  // namespace

size_t CopyFrom(std::span<const iovec> buffers, size_t offset, std::span<std::byte> out) {
  return ForEachPart(buffers, offset, out.size(), [&](std::byte* guest, size_t at, size_t length) {
    std::memcpy(out.data() + at, guest, length);
  });
}

size_t CopyTo(std::span<const iovec> buffers, size_t offset, std::span<const std::byte> in) {
  return ForEachPart(buffers, offset, in.size(), [&](std::byte* guest, size_t at, size_t length) {
    std::memcpy(guest, in.data() + at, length);
  });
}

void Subrange(std::span<const iovec> buffers, size_t offset, size_t length,
              std::vector<iovec>& out) {
  out.clear();
  ForEachPart(buffers, offset, length, [&](std::byte* guest, size_t, size_t part) {
    out.push_back({guest, part});
  });
}

base::Result<Queue> Queue::Create(const GuestMemory& memory, const QueueConfig& config,
                                  uint16_t max_size, bool event_idx) {
  if (!std::has_single_bit(config.size) || config.size > std::min(max_size, kMaxQueueSize)) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "queue size {}: must be a power of two, at most {}", config.size,
                           max_size);
  }
  const size_t size = config.size;
  Queue queue;
  queue.memory_ = &memory;
  queue.size_ = config.size;
  queue.event_idx_ = event_idx;
  queue.descriptors_ =
      TRY(Ring(memory, "descriptor table", config.descriptors, 16, size * kDescriptorBytes));
  // Both rings end with one index that only EVENT_IDX uses; a driver always allots it.
  queue.available_ = TRY(Ring(memory, "available ring", config.driver, 2,
                              kRingEntries + size * kAvailableEntryBytes + 2));
  queue.used_ =
      TRY(Ring(memory, "used ring", config.device, 4, kRingEntries + size * kUsedEntryBytes + 2));
  queue.buffers_.reserve(size);
  return queue;
}

uint16_t Queue::LoadIndex(const std::byte* at) const {
  return __atomic_load_n(Index(const_cast<std::byte*>(at)), __ATOMIC_ACQUIRE);
}

base::Result<bool> Queue::HasNext() {
  if (next_available_ != seen_available_) return true;
  const auto refresh = [this]() -> base::Result<bool> {
    seen_available_ = LoadIndex(available_ + kRingIndex);
    const auto pending = static_cast<uint16_t>(seen_available_ - next_available_);
    if (pending > size_) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "available index {}: {} ahead of the device in a queue of {}",
                             seen_available_, pending, size_);
    }
    return pending != 0;
  };
  if (TRY(refresh())) return true;
  if (!event_idx_) return false;
  // virtio 1.2, 2.7.10: ask for a notification of the next buffer, then look once more, because the
  // driver may have added it before it could see the wish.
  __atomic_store_n(Index(used_ + kRingEntries + size_ * kUsedEntryBytes), next_available_,
                   __ATOMIC_RELEASE);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return refresh();
}

base::Result<std::optional<Chain>> Queue::Pop() {
  if (!TRY(HasNext())) return std::optional<Chain>();
  const size_t slot = next_available_ % size_;
  const uint16_t head = LoadIndex(available_ + kRingEntries + slot * kAvailableEntryBytes);
  Chain chain = TRY(Walk(head), "chain at descriptor {}", head);
  ++next_available_;
  return std::optional<Chain>(chain);
}

base::Result<Chain> Queue::Walk(uint16_t head) {
  buffers_.clear();
  Chain chain;
  chain.head = head;
  size_t readable_count = 0;
  uint16_t index = head;
  for (unsigned steps = 0;; ++steps) {
    if (index >= size_) {
      return base::MakeError(base::Code::kInvalidArgument, "descriptor {}: the queue has {}", index,
                             size_);
    }
    if (steps == size_) {
      return base::MakeError(base::Code::kInvalidArgument, "longer than the queue of {}", size_);
    }
    RingDescriptor descriptor;
    std::memcpy(&descriptor, descriptors_ + index * kDescriptorBytes, sizeof(descriptor));
    asm volatile("" : : "r"(&descriptor) : "memory");  // the copy is judged, never guest RAM again
    if ((descriptor.flags & kDescriptorIndirect) != 0) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "descriptor {}: indirect, which was not negotiated", index);
    }
    const bool writable = (descriptor.flags & kDescriptorWrite) != 0;
    if (!writable && chain.writable_bytes != 0) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "descriptor {}: readable after a writable one", index);
    }
    const std::span<std::byte> bytes =
        TRY(memory_->Slice(GuestAddress{descriptor.address}, descriptor.length), "descriptor {}",
            index);
    if (!bytes.empty()) buffers_.push_back({bytes.data(), bytes.size()});
    (writable ? chain.writable_bytes : chain.readable_bytes) += bytes.size();
    if (!writable) readable_count = buffers_.size();
    if (chain.readable_bytes + chain.writable_bytes > kMaxChainBytes) {
      return base::MakeError(base::Code::kOutOfRange, "more than {} bytes", kMaxChainBytes);
    }
    if ((descriptor.flags & kDescriptorNext) == 0) break;
    index = descriptor.next;
  }
  const std::span<const iovec> all(buffers_);
  chain.readable = all.first(readable_count);
  chain.writable = all.subspan(readable_count);
  return chain;
}

void Queue::Push(uint16_t head, size_t written) {
  const RingUsedElement element{head, static_cast<uint32_t>(written)};
  std::memcpy(used_ + kRingEntries + (next_used_ % size_) * kUsedEntryBytes, &element,
              sizeof(element));
  ++next_used_;
  // The driver must not see the index before the element.
  __atomic_store_n(Index(used_ + kRingIndex), next_used_, __ATOMIC_RELEASE);
}

bool Queue::TakeSignal() {
  if (next_used_ == signalled_used_) return false;
  const uint16_t before = signalled_used_;
  signalled_used_ = next_used_;
  // The driver's wish is read after our index is out (virtio 1.2, 2.7.7.2 and 2.7.10).
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!event_idx_) {
    return (LoadIndex(available_ + kRingFlags) & kAvailableNoInterrupt) == 0;
  }
  const uint16_t wanted = LoadIndex(available_ + kRingEntries + size_ * kAvailableEntryBytes);
  // virtio 1.2, 2.7.7.2: was the wanted element among those pushed since `before`?
  return static_cast<uint16_t>(next_used_ - wanted - 1) <
         static_cast<uint16_t>(next_used_ - before);
}

}  // namespace vmm::virtio
