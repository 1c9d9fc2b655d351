// KvmInterruptRouter: interrupt lines as irqfds, and the MSI routes that give them a meaning.
//
// While a pin is disconnected its irqfd is off, so edges wait in the eventfd's counter and are
// delivered when the guest unmasks the pin: none is lost.
//
// Thread rule: MakeLine before any vCPU runs; Connect and Disconnect under the I/O APIC's mutex;
// lines are thread-safe. Ownership: borrows the VmFd, owns the lines.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/bus/irq_line.h"
#include "vmm/device/ioapic.h"
#include "vmm/kvm/vm_fd.h"

namespace vmm {

class KvmInterruptRouter : public InterruptRouter {
 public:
  explicit KvmInterruptRouter(kvm::VmFd& vm) : vm_(vm) {}

  // The line of `pin`; kAlreadyExists if it has one. Valid as long as the router.
  base::Result<IrqLine*> MakeLine(uint32_t pin);

  base::Result<void> Connect(uint32_t pin, const kvm::MsiMessage& message) override;
  base::Result<void> Disconnect(uint32_t pin) override;

 private:
  class Line : public IrqLine {
   public:
    explicit Line(base::UniqueFd eventfd) : eventfd_(std::move(eventfd)) {}
    void Trigger() override;
    base::BorrowedFd eventfd() override { return eventfd_; }
    bool connected = false;

   private:
    base::UniqueFd eventfd_;
  };

  kvm::VmFd& vm_;
  std::map<uint32_t, std::unique_ptr<Line>> lines_;
  std::map<uint32_t, kvm::MsiMessage> routes_;
};

}  // namespace vmm
