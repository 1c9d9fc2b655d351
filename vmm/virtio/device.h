// VirtioDevice: what a virtio device is apart from its transport (virtio 1.2, 2 and 5).
//
// A device is bound to the reactor: Activate, Notify and Reset run on the thread of the EventLoop.
// Only the constants (type, features, queues) and the configuration space are read on vCPU threads,
// so they do not change after construction. What the guest wrote is hostile in every call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/memory/guest_memory.h"

namespace vmm::virtio {

// virtio 1.2, 6 "Reserved Feature Bits"
inline constexpr uint64_t kFeatureEventIdx = 1ull << 29;
inline constexpr uint64_t kFeatureVersion1 = 1ull << 32;

// virtio 1.2, 5 "Device Types"
enum class DeviceType : uint32_t {
  kNone = 0,
  kNet = 1,
  kBlock = 2,
  kEntropy = 4,
  kVsock = 19,
  kFs = 26
};

// Where a driver put a split virtqueue; nothing is checked yet.
struct QueueConfig {
  uint16_t size = 0;
  GuestAddress descriptors;
  GuestAddress driver;  // the available ring
  GuestAddress device;  // the used ring
};

struct QueueSetup {
  bool ready = false;  // a driver may leave queues out
  QueueConfig config;
  base::BorrowedFd kick;  // signalled by each notification
};

// The transport as its device sees it. Thread-safe, but for loop().
class DeviceHost {
 public:
  virtual ~DeviceHost() = default;
  // Tells the driver that buffers were used.
  virtual void SignalUsed() = 0;
  // DEVICE_NEEDS_RESET and a configuration interrupt (virtio 1.2, 2.1.2). For device errors that no
  // call from the transport can return; logged here, once.
  virtual void Fail(base::Error error) = 0;
  // Delivers Notify(queue) again from the event loop, so that one guest cannot hold the reactor.
  virtual void NotifyAgain(size_t queue) = 0;
  virtual base::EventLoop& loop() = 0;
  virtual const GuestMemory& memory() = 0;
  // For a vhost back end, which signals used buffers by itself.
  virtual base::BorrowedFd used_eventfd() = 0;
};

struct Activation {
  uint64_t features = 0;  // negotiated: a subset of VirtioDevice::features()
  std::span<const QueueSetup> queues;
};

class VirtioDevice {
 public:
  virtual ~VirtioDevice() = default;

  // For logs.
  virtual std::string_view name() const = 0;
  virtual DeviceType type() const = 0;
  // Everything offered, VERSION_1 included.
  virtual uint64_t features() const = 0;
  // The largest size of each queue, powers of two.
  virtual std::span<const uint16_t> queue_sizes() const = 0;
  // As little-endian bytes; accesses beyond it read as 0. No device of ours has writable fields.
  virtual std::span<const std::byte> config() const = 0;
  // True: the back end waits on the kick descriptors itself, and it triggers the interrupt itself,
  // so that the transport cannot know when InterruptStatus bit 0 is due.
  virtual bool has_vhost_back_end() const { return false; }

  // The driver set DRIVER_OK. `host` outlives the device's activity, that is, until Reset. An error
  // means NEEDS_RESET; Reset follows before another Activate.
  virtual base::Result<void> Activate(DeviceHost& host, const Activation& activation) = 0;
  // The driver notified `queue`, or may have. An error means that the driver broke the queue's
  // rules: NEEDS_RESET.
  virtual base::Result<void> Notify(size_t queue) = 0;
  // After it the device touches no guest memory. Also after an Activate that failed.
  virtual void Reset() = 0;
};

}  // namespace vmm::virtio
