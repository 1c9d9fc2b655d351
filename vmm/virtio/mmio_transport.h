// MmioTransport: one virtio device behind virtio-mmio version 2 registers (virtio 1.2, 4.2).
//
// Registers are read and written on vCPU threads under the transport's mutex; the device lives on
// the reactor. Notifications arrive through one ioeventfd a queue, interrupts leave through the
// IrqLine. A driver that breaks the rules gets DEVICE_NEEDS_RESET and nothing else happens.
//
// A guest's reset of an active device waits for the reactor, because the guest frees its rings when
// the register write returns. So the reactor must never wait for a vCPU thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/bus/device.h"
#include "vmm/bus/doorbell.h"
#include "vmm/bus/irq_line.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/virtio/device.h"

namespace vmm::virtio {

class MmioTransport final : public BusDevice, public DeviceHost {
 public:
  // The length of the register range.
  static constexpr uint64_t kLength = 0x1000;

  // Borrowed; all must outlive the transport.
  struct Environment {
    const GuestMemory& memory;
    IrqLine& line;
    base::EventLoop& loop;
    DoorbellRegistrar& doorbells;
  };

  // `device` null: a spare slot, which shows DeviceID 0 (virtio 1.2, 4.2.2.2: the driver ignores
  // it) until Plug. Registers the doorbells at `base`. Call it on the reactor's thread or before it
  // runs.
  static base::Result<std::unique_ptr<MmioTransport>> Create(std::unique_ptr<VirtioDevice> device,
                                                             const Environment& environment,
                                                             GuestAddress base);
  // On the reactor's thread, or when the reactor runs no more.
  ~MmioTransport() override;

  // Gives a spare slot its device, for good; the guest sees it the next time that it looks.
  // kFailedPrecondition if there is one. On the reactor's thread.
  base::Result<void> Plug(std::unique_ptr<VirtioDevice> device);

  // BusDevice: thread-safe.
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

  // DeviceHost.
  void SignalUsed() override;
  void Fail(base::Error error) override;
  void NotifyAgain(size_t queue) override;
  base::EventLoop& loop() override { return environment_.loop; }
  const GuestMemory& memory() override { return environment_.memory; }
  base::BorrowedFd used_eventfd() override { return environment_.line.eventfd(); }

 private:
  struct QueueState {
    QueueConfig config;
    bool ready = false;
    base::UniqueFd kick;
    base::Watch watch;  // reactor only
  };

  MmioTransport(const Environment& environment, GuestAddress base);

  base::Result<void> RegisterDoorbell(const VirtioDevice& device, size_t queue, QueueState* state);
  void ReadConfigLocked(uint64_t at, std::span<std::byte> data) const;
  uint32_t ReadRegisterLocked(uint64_t offset) const;
  void WriteRegisterLocked(uint64_t offset, uint32_t value, std::unique_lock<std::mutex>& lock);
  void WriteStatusLocked(uint32_t value, std::unique_lock<std::mutex>& lock);
  void WriteQueueLocked(uint64_t offset, uint32_t value);
  void ResetLocked(std::unique_lock<std::mutex>& lock);
  void NeedsResetLocked();
  bool FeaturesAcceptableLocked() const;
  void PostActivationLocked();
  bool QueuesWritableLocked() const;
  void RaiseInterrupt(uint32_t bit);

  // Reactor.
  void ActivateOnLoop(uint64_t features, const std::vector<QueueSetup>& queues);
  void OnKick(size_t queue);
  void NotifyDevice(size_t queue);
  void StopDevice();

  const Environment environment_;
  const GuestAddress base_;
  std::atomic<uint32_t> interrupt_status_{0};

  std::mutex mutex_;
  std::condition_variable reset_done_;
  bool resetting_ = false;               // guarded by mutex_
  bool activation_posted_ = false;       // guarded by mutex_
  uint32_t status_ = 0;                  // guarded by mutex_
  uint64_t driver_features_ = 0;         // guarded by mutex_
  uint32_t device_features_select_ = 0;  // guarded by mutex_
  uint32_t driver_features_select_ = 0;  // guarded by mutex_
  uint32_t queue_select_ = 0;            // guarded by mutex_
  // Both are set by Plug alone, with mutex_, and fixed from then on, but for the configs.
  std::unique_ptr<VirtioDevice> device_;
  std::vector<QueueState> queues_;  // configs guarded by mutex_

  unsigned logged_failures_ = 0;  // guarded by mutex_

  bool active_ = false;  // reactor only: the device has been activated and not reset since
  // Posted tasks look here first: the transport may be gone before they run.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace vmm::virtio
