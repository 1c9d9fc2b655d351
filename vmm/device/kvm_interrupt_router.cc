#include "vmm/device/kvm_interrupt_router.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>
#include <vector>

namespace vmm {

void KvmInterruptRouter::Line::Trigger() {
  const uint64_t one = 1;
  // It fails only when 2^64 - 1 edges wait already, and then one more means nothing.
  [[maybe_unused]] const ssize_t written = write(eventfd_.get(), &one, sizeof(one));
}

base::Result<IrqLine*> KvmInterruptRouter::MakeLine(uint32_t pin) {
  if (lines_.count(pin) != 0) {
    return base::MakeError(base::Code::kAlreadyExists, "interrupt pin {} has a line", pin);
  }
  base::UniqueFd eventfd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!eventfd) return base::ErrnoError("eventfd for interrupt pin {}", pin);
  auto line = std::make_unique<Line>(std::move(eventfd));
  IrqLine* borrowed = line.get();
  lines_.emplace(pin, std::move(line));
  return borrowed;
}

base::Result<void> KvmInterruptRouter::Connect(uint32_t pin, const kvm::MsiMessage& message) {
  const auto line = lines_.find(pin);
  // A pin that nothing is connected to.
  if (line == lines_.end()) return base::Ok();
  routes_[pin] = message;
  std::vector<kvm::MsiRoute> table;
  for (const auto& [gsi, route] : routes_) table.push_back({gsi, route});
  TRY(vm_.SetMsiRoutes(table));
  if (!line->second->connected) {
    TRY(vm_.AssignIrqfd(line->second->eventfd(), pin));
    line->second->connected = true;
  }
  return base::Ok();
}

base::Result<void> KvmInterruptRouter::Disconnect(uint32_t pin) {
  const auto line = lines_.find(pin);
  if (line == lines_.end() || !line->second->connected) return base::Ok();
  TRY(vm_.DeassignIrqfd(line->second->eventfd(), pin));
  line->second->connected = false;
  // The route stays: without an irqfd nothing uses it.
  return base::Ok();
}

}  // namespace vmm
