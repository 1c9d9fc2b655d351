#include "vmm/virtio/mmio_transport.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "runtime/base/log.h"
#include "vmm/virtio/mmio_registers.h"

namespace vmm::virtio {
namespace {

// A guest may break a device and reset it for ever; the log is not its to fill.
constexpr unsigned kLoggedFailures = 16;
// Only a reactor that has stopped for good takes this long; then the machine is ending.
constexpr std::chrono::seconds kResetLimit{10};

void SetLow(GuestAddress& address, uint32_t value) {
  address.value = (address.value & ~uint64_t{0xffffffff}) | value;
}

void SetHigh(GuestAddress& address, uint32_t value) {
  address.value = (address.value & 0xffffffff) | (uint64_t{value} << 32);
}

}  // namespace

base::Result<std::unique_ptr<MmioTransport>> MmioTransport::Create(
    std::unique_ptr<VirtioDevice> device, const Environment& environment, GuestAddress base) {
  std::unique_ptr<MmioTransport> transport(new MmioTransport(environment, base));
  if (device != nullptr) TRY(transport->Plug(std::move(device)));
  return transport;
}

MmioTransport::MmioTransport(const Environment& environment, GuestAddress base)
    : environment_(environment), base_(base) {}

base::Result<void> MmioTransport::Plug(std::unique_ptr<VirtioDevice> device) {
  if (device_ != nullptr) {
    return base::MakeError(base::Code::kFailedPrecondition, "the slot has a device: {}",
                           device_->name());
  }
  std::vector<QueueState> queues(device->queue_sizes().size());
  for (size_t i = 0; i < queues.size(); ++i) TRY(RegisterDoorbell(*device, i, &queues[i]));
  const std::lock_guard lock(mutex_);
  queues_ = std::move(queues);
  device_ = std::move(device);
  return base::Ok();
}

base::Result<void> MmioTransport::RegisterDoorbell(const VirtioDevice& device, size_t queue,
                                                   QueueState* state) {
  const GuestAddress notify{TRY(CheckedAdd(base_.value, mmio::kQueueNotify))};
  state->kick.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!state->kick) return base::ErrnoError("eventfd for queue {}", queue);
  TRY(environment_.doorbells.Register(notify, static_cast<uint32_t>(queue), state->kick),
      "doorbell of {} queue {}", device.name(), queue);
  if (device.has_vhost_back_end()) return base::Ok();
  state->watch = TRY(
      environment_.loop.WatchFd(state->kick, EPOLLIN, [this, queue](uint32_t) { OnKick(queue); }));
  return base::Ok();
}

MmioTransport::~MmioTransport() {
  if (device_ != nullptr) StopDevice();
}

void MmioTransport::Read(uint64_t offset, std::span<std::byte> data) {
  std::fill(data.begin(), data.end(), std::byte{0});
  if (offset >= mmio::kConfig) {
    const std::lock_guard lock(mutex_);
    return ReadConfigLocked(offset - mmio::kConfig, data);
  }
  // virtio 1.2, 4.2.2.2: only 32-bit aligned accesses to the control registers.
  if (data.size() != sizeof(uint32_t) || offset % sizeof(uint32_t) != 0) return;
  uint32_t value;
  {
    const std::lock_guard lock(mutex_);
    value = ReadRegisterLocked(offset);
  }
  std::memcpy(data.data(), &value, sizeof(value));
}

void MmioTransport::ReadConfigLocked(uint64_t at, std::span<std::byte> data) const {
  if (device_ == nullptr) return;
  const std::span<const std::byte> config = device_->config();
  if (at >= config.size()) return;
  const size_t length = std::min(data.size(), config.size() - static_cast<size_t>(at));
  std::memcpy(data.data(), config.data() + at, length);
}

uint32_t MmioTransport::ReadRegisterLocked(uint64_t offset) const {
  if (offset == mmio::kMagicValue) return mmio::kMagic;
  if (offset == mmio::kVersion) return mmio::kVersion2;
  if (device_ == nullptr) return 0;
  const QueueState* queue = queue_select_ < queues_.size() ? &queues_[queue_select_] : nullptr;
  switch (offset) {
    case mmio::kDeviceId:
      return static_cast<uint32_t>(device_->type());
    case mmio::kVendorId:
      return mmio::kVendor;
    case mmio::kDeviceFeatures:
      if (device_features_select_ > 1) return 0;
      return static_cast<uint32_t>(device_->features() >> (32 * device_features_select_));
    case mmio::kQueueNumMax:
      return queue != nullptr ? device_->queue_sizes()[queue_select_] : 0;
    case mmio::kQueueReady:
      return queue != nullptr && queue->ready ? 1 : 0;
    case mmio::kInterruptStatus: {
      // A vhost back end writes the interrupt's eventfd itself, so nothing here could set bit 0 in
      // time. It reads as set while the device runs: a driver that looks for used buffers and finds
      // none goes on, one that never looks loses them. (The other way, each back-end interrupt
      // through the reactor, would cost a thread switch a request.)
      const bool vhost = device_->has_vhost_back_end() && (status_ & mmio::kDriverOk) != 0;
      return interrupt_status_.load() | (vhost ? mmio::kUsedBuffer : 0);
    }
    case mmio::kStatus:
      return status_;
    case mmio::kConfigGeneration:
      return 0;  // the configuration space never changes
    default:
      // virtio 1.2, 4.2.2: a length of all ones says that there is no shared memory region.
      if (offset >= mmio::kShmLenLow && offset <= mmio::kShmBaseHigh) return 0xffffffff;
      return 0;
  }
}

void MmioTransport::Write(uint64_t offset, std::span<const std::byte> data) {
  // No device has a writable configuration field.
  if (offset >= mmio::kConfig) return;
  if (data.size() != sizeof(uint32_t) || offset % sizeof(uint32_t) != 0) return;
  uint32_t value;
  std::memcpy(&value, data.data(), sizeof(value));
  std::unique_lock lock(mutex_);
  if (device_ == nullptr) return;
  if (resetting_) return;  // another vCPU is in the middle of a reset: nothing may build on it
  WriteRegisterLocked(offset, value, lock);
}

void MmioTransport::WriteRegisterLocked(uint64_t offset, uint32_t value,
                                        std::unique_lock<std::mutex>& lock) {
  switch (offset) {
    case mmio::kDeviceFeaturesSel:
      device_features_select_ = value;
      return;
    case mmio::kDriverFeaturesSel:
      driver_features_select_ = value;
      return;
    case mmio::kDriverFeatures: {
      // virtio 1.2, 3.1.1: between DRIVER and FEATURES_OK.
      if (status_ != (mmio::kAcknowledge | mmio::kDriver)) return;
      GuestAddress bits{driver_features_};
      if (driver_features_select_ == 0) SetLow(bits, value);
      if (driver_features_select_ == 1) SetHigh(bits, value);
      driver_features_ = bits.value;
      return;
    }
    case mmio::kQueueSel:
      queue_select_ = value;
      return;
    case mmio::kQueueNotify:
      // Reached only where no ioeventfd matched: an index without a queue, or a test.
      if (value < queues_.size()) eventfd_write(queues_[value].kick.get(), 1);
      return;
    case mmio::kInterruptAck:
      interrupt_status_.fetch_and(~value);
      return;
    case mmio::kStatus:
      WriteStatusLocked(value, lock);
      return;
    default:
      WriteQueueLocked(offset, value);
  }
}

bool MmioTransport::QueuesWritableLocked() const {
  return status_ == (mmio::kAcknowledge | mmio::kDriver | mmio::kFeaturesOk);
}

void MmioTransport::WriteQueueLocked(uint64_t offset, uint32_t value) {
  if (!QueuesWritableLocked() || queue_select_ >= queues_.size()) return;
  QueueState& queue = queues_[queue_select_];
  if (offset == mmio::kQueueReady) {
    queue.ready = value == 1;
    return;
  }
  // virtio 1.2, 4.2.3.2: the driver configures a queue before it makes it ready.
  if (queue.ready) return;
  switch (offset) {
    case mmio::kQueueNum:
      // A size that no queue can have stays 0, which Queue::Create refuses.
      queue.config.size = value <= 0xffff ? static_cast<uint16_t>(value) : uint16_t{0};
      return;
    case mmio::kQueueDescLow:
      return SetLow(queue.config.descriptors, value);
    case mmio::kQueueDescHigh:
      return SetHigh(queue.config.descriptors, value);
    case mmio::kQueueDriverLow:
      return SetLow(queue.config.driver, value);
    case mmio::kQueueDriverHigh:
      return SetHigh(queue.config.driver, value);
    case mmio::kQueueDeviceLow:
      return SetLow(queue.config.device, value);
    case mmio::kQueueDeviceHigh:
      return SetHigh(queue.config.device, value);
    default:
      return;
  }
}

bool MmioTransport::FeaturesAcceptableLocked() const {
  // virtio 1.2, 6.1: a device without VERSION_1 would be a legacy one.
  return (driver_features_ & ~device_->features()) == 0 &&
         (driver_features_ & kFeatureVersion1) != 0;
}

// virtio 1.2, 3.1.1. One bit a step, in this order, nothing taken back but by a reset:
//
//   0 ──► ACKNOWLEDGE ──► DRIVER ──► FEATURES_OK ──► DRIVER_OK ──(we)──► NEEDS_RESET
//   ▲         └────────────┴─── FAILED ──┴───────────────┘                   │
//   └───────────────────────────────── write 0 ──────────────────────────────┘
void MmioTransport::WriteStatusLocked(uint32_t value, std::unique_lock<std::mutex>& lock) {
  if (value == 0) return ResetLocked(lock);
  if ((status_ & (mmio::kNeedsReset | mmio::kFailed)) != 0) return;  // only a reset helps
  const uint32_t added = value & ~status_;
  if ((status_ & ~value) != 0) return NeedsResetLocked();
  if (added == 0) return;
  if (added == mmio::kFailed) {
    status_ |= mmio::kFailed;
    return;
  }
  constexpr uint32_t kOrder[] = {mmio::kAcknowledge, mmio::kDriver, mmio::kFeaturesOk,
                                 mmio::kDriverOk};
  uint32_t before = 0;
  for (const uint32_t step : kOrder) {
    if (status_ == before && added == step) {
      // A refusal of the features is to leave the bit clear (virtio 1.2, 3.1.1 step 6).
      if (step == mmio::kFeaturesOk && !FeaturesAcceptableLocked()) return;
      status_ |= step;
      if (step == mmio::kDriverOk) PostActivationLocked();
      return;
    }
    before |= step;
  }
  NeedsResetLocked();
}

void MmioTransport::PostActivationLocked() {
  std::vector<QueueSetup> setups;
  for (const QueueState& queue : queues_) {
    setups.push_back({.ready = queue.ready, .config = queue.config, .kick = queue.kick});
  }
  activation_posted_ = true;
  environment_.loop.Post([this, alive = std::weak_ptr<bool>(alive_), features = driver_features_,
                          setups = std::move(setups)] {
    if (!alive.expired()) ActivateOnLoop(features, setups);
  });
}

void MmioTransport::ResetLocked(std::unique_lock<std::mutex>& lock) {
  if (activation_posted_) {
    resetting_ = true;
    environment_.loop.Post([this, alive = std::weak_ptr<bool>(alive_)] {
      if (alive.expired()) return;
      StopDevice();
      const std::lock_guard done(mutex_);
      resetting_ = false;
      reset_done_.notify_all();
    });
    if (!reset_done_.wait_for(lock, kResetLimit, [this] { return !resetting_; })) {
      status_ |= mmio::kNeedsReset;
      return;
    }
    activation_posted_ = false;
  }
  status_ = 0;
  driver_features_ = 0;
  device_features_select_ = 0;
  driver_features_select_ = 0;
  queue_select_ = 0;
  interrupt_status_ = 0;
  for (QueueState& queue : queues_) {
    queue.config = {};
    queue.ready = false;
    eventfd_t ignored;
    eventfd_read(queue.kick.get(), &ignored);
  }
}

void MmioTransport::NeedsResetLocked() {
  const bool running = (status_ & mmio::kDriverOk) != 0;
  status_ |= mmio::kNeedsReset;
  // virtio 1.2, 2.1.2: the driver is told only once it has said DRIVER_OK.
  if (running) RaiseInterrupt(mmio::kConfigChange);
}

void MmioTransport::RaiseInterrupt(uint32_t bit) {
  interrupt_status_.fetch_or(bit);
  environment_.line.Trigger();
}

void MmioTransport::SignalUsed() { RaiseInterrupt(mmio::kUsedBuffer); }

void MmioTransport::Fail(base::Error error) {
  {
    const std::lock_guard lock(mutex_);
    if (logged_failures_ < kLoggedFailures) {
      ++logged_failures_;
      LOG_WARNING("virtio {}: needs a reset: {}", device_->name(), error.Trail());
    }
    NeedsResetLocked();
  }
  // Later tasks of the loop, a reset by the driver among them, come after this one.
  environment_.loop.Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) StopDevice();
  });
}

void MmioTransport::NotifyAgain(size_t queue) { eventfd_write(queues_[queue].kick.get(), 1); }

void MmioTransport::ActivateOnLoop(uint64_t features, const std::vector<QueueSetup>& queues) {
  active_ = true;
  base::Result<void> activated =
      device_->Activate(*this, Activation{.features = features, .queues = queues});
  if (!activated) return Fail(std::move(activated.error()));
  if (device_->has_vhost_back_end()) return;
  // Drivers fill their queues, and may have notified us, before they say DRIVER_OK.
  for (size_t i = 0; i < queues.size() && active_; ++i) {
    if (queues[i].ready) NotifyDevice(i);
  }
}

void MmioTransport::OnKick(size_t queue) {
  eventfd_t ignored;
  eventfd_read(queues_[queue].kick.get(), &ignored);
  // Before the activation: ActivateOnLoop looks at every queue itself.
  if (active_) NotifyDevice(queue);
}

void MmioTransport::NotifyDevice(size_t queue) {
  base::Result<void> notified = device_->Notify(queue);
  if (notified) return;
  notified.error().Push(__FILE__, __LINE__, "queue {}", queue);
  StopDevice();
  Fail(std::move(notified.error()));
}

void MmioTransport::StopDevice() {
  if (!std::exchange(active_, false)) return;
  device_->Reset();
}

}  // namespace vmm::virtio
