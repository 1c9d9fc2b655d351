// IoApic: the I/O APIC of a split irqchip. It holds no interrupts: it turns each redirection entry
// into a message-signalled interrupt, and the router gives that to KVM.
//
// Every line of this machine is edge-triggered. An entry that a guest makes level-triggered works
// as an edge; its EOI exits have nothing to do. That is safe: only the guest's own lines are late.
//
// Thread rule: thread-safe, one mutex, held while the router is called.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "runtime/base/result.h"
#include "vmm/bus/device.h"
#include "vmm/kvm/vm_fd.h"

namespace vmm {

// Where pins lead. Called under the I/O APIC's mutex.
class InterruptRouter {
 public:
  virtual ~InterruptRouter() = default;
  // From now on an edge of `pin` sends `message`, also one that came while it was disconnected.
  virtual base::Result<void> Connect(uint32_t pin, const kvm::MsiMessage& message) = 0;
  virtual base::Result<void> Disconnect(uint32_t pin) = 0;
};

class IoApic : public BusDevice {
 public:
  // `router` is borrowed and must outlive it. `extended_destinations`: entries carry 15-bit ids.
  IoApic(uint32_t pins, bool extended_destinations, InterruptRouter& router);

  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  uint32_t ReadWindowLocked() const;
  void WriteWindowLocked(uint32_t value);
  void UpdatePinLocked(size_t pin);
  // Nothing if the entry is masked or can send nothing.
  std::optional<kvm::MsiMessage> MessageOf(uint64_t entry) const;

  const bool extended_destinations_;
  InterruptRouter& router_;
  std::mutex mutex_;
  uint32_t select_ = 0;                                  // guarded by mutex_
  uint32_t id_ = 0;                                      // guarded by mutex_
  std::vector<uint64_t> entries_;                        // guarded by mutex_
  std::vector<std::optional<kvm::MsiMessage>> current_;  // what the router knows; same
  bool failure_logged_ = false;                          // guarded by mutex_
};

}  // namespace vmm
