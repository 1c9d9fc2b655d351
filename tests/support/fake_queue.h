// FakeQueue plays a driver on one split virtqueue in real GuestMemory; FakeHost is a DeviceHost
// that counts. For unit tests and fuzz targets, which share one thread with the device.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/memory/guest_memory.h"
#include "vmm/virtio/device.h"
#include "vmm/virtio/ring.h"

namespace testing_support {

// Lays its rings at `base` and hands out buffers from base + 0x10000 on; uses 0x40000 bytes.
class FakeQueue {
 public:
  static constexpr uint64_t kSpan = 0x40000;

  FakeQueue(const vmm::GuestMemory& memory, uint64_t base, uint16_t size)
      : memory_(memory), base_(base), size_(size), next_buffer_(base + 0x10000) {}

  vmm::virtio::QueueConfig config() const {
    return {.size = size_,
            .descriptors = {base_},
            .driver = {base_ + 0x4000},
            .device = {base_ + 0x8000}};
  }
  vmm::virtio::QueueSetup setup(base::BorrowedFd kick = {}) const {
    return {.ready = true, .config = config(), .kick = kick};
  }

  // Raw access, for hostile cases.
  void SetDescriptor(uint16_t index, uint64_t address, uint32_t length, uint16_t flags,
                     uint16_t next = 0) {
    const vmm::virtio::RingDescriptor descriptor{address, length, flags, next};
    Put(base_ + index * sizeof(descriptor), descriptor);
  }
  void SetAvailableIndex(uint16_t index) { Put(base_ + 0x4000 + 2, index); }
  void SetAvailableFlags(uint16_t flags) { Put(base_ + 0x4000, flags); }
  void SetUsedEvent(uint16_t index) { Put(base_ + 0x4000 + 4 + 2ull * size_, index); }
  uint16_t AvailableEvent() const { return Get<uint16_t>(base_ + 0x8000 + 4 + 8ull * size_); }
  void Offer(uint16_t head) {
    Put(base_ + 0x4000 + 4 + 2ull * (available_ % size_), head);
    SetAvailableIndex(++available_);
  }

  // A chain of the readable parts and then the writable ones; returns its head.
  uint16_t Add(const std::vector<std::string>& readable, const std::vector<uint32_t>& writable) {
    const uint16_t head = next_descriptor_;
    const size_t count = readable.size() + writable.size();
    size_t i = 0;
    const auto add = [&](uint64_t address, size_t length, uint16_t flags) {
      const uint16_t self = next_descriptor_;
      next_descriptor_ = static_cast<uint16_t>((next_descriptor_ + 1) % size_);
      if (++i < count) flags |= vmm::virtio::kDescriptorNext;
      SetDescriptor(self, address, static_cast<uint32_t>(length), flags, next_descriptor_);
    };
    for (const std::string& part : readable) {
      const uint64_t at = Allocate(part.size());
      (void)memory_.Write({at}, std::as_bytes(std::span(part)));
      add(at, part.size(), 0);
    }
    writable_at_.resize(size_);
    writable_at_[head].clear();
    for (const uint32_t length : writable) {
      const uint64_t at = Allocate(length);
      writable_at_[head].push_back({at, length});
      add(at, length, vmm::virtio::kDescriptorWrite);
    }
    Offer(head);
    return head;
  }

  struct Used {
    uint16_t head;
    uint32_t length;
    std::string bytes;  // all writable parts of the chain, joined
  };
  // The next used element, if there is one.
  std::optional<Used> TakeUsed() {
    if (Get<uint16_t>(base_ + 0x8000 + 2) == used_) return std::nullopt;
    const auto element =
        Get<vmm::virtio::RingUsedElement>(base_ + 0x8000 + 4 + 8ull * (used_ % size_));
    ++used_;
    Used out{static_cast<uint16_t>(element.head), element.length, {}};
    if (out.head >= writable_at_.size()) return out;
    for (const Part& part : writable_at_[out.head]) {
      std::string bytes(part.length, '\0');
      (void)memory_.Read({part.address}, std::as_writable_bytes(std::span(bytes)));
      out.bytes += bytes;
    }
    return out;
  }

 private:
  struct Part {
    uint64_t address;
    uint32_t length;
  };

  template <class T>
  void Put(uint64_t address, const T& value) {
    (void)memory_.Store(vmm::GuestAddress{address}, value);
  }
  template <class T>
  T Get(uint64_t address) const {
    return memory_.Load<T>(vmm::GuestAddress{address}).value_or(T{});
  }
  uint64_t Allocate(size_t length) {
    if (next_buffer_ + length > base_ + kSpan) next_buffer_ = base_ + 0x10000;
    const uint64_t at = next_buffer_;
    next_buffer_ += length;
    return at;
  }

  const vmm::GuestMemory& memory_;
  const uint64_t base_;
  const uint16_t size_;
  uint64_t next_buffer_;
  uint16_t next_descriptor_ = 0;
  uint16_t available_ = 0;
  uint16_t used_ = 0;
  std::vector<std::vector<Part>> writable_at_;
};

class FakeHost final : public vmm::virtio::DeviceHost {
 public:
  FakeHost(const vmm::GuestMemory& memory, base::EventLoop& loop) : memory_(memory), loop_(loop) {}
  void SignalUsed() override { ++signals; }
  void Fail(base::Error error) override { failures.push_back(error.Message()); }
  void NotifyAgain(size_t queue) override { again.push_back(queue); }
  base::EventLoop& loop() override { return loop_; }
  const vmm::GuestMemory& memory() override { return memory_; }
  base::BorrowedFd used_eventfd() override { return call; }

  int signals = 0;
  std::vector<std::string> failures;
  std::vector<size_t> again;
  base::BorrowedFd call;

 private:
  const vmm::GuestMemory& memory_;
  base::EventLoop& loop_;
};

}  // namespace testing_support
