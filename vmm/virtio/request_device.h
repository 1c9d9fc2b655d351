// RequestDevice: the queue handling of a device that answers each request at once and in order.
// Thread rule: reactor-bound (device.h).
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "runtime/base/result.h"
#include "vmm/virtio/device.h"
#include "vmm/virtio/queue.h"

namespace vmm::virtio {

// The queues of `activation`; nullopt for those that the driver left out.
base::Result<std::vector<std::optional<Queue>>> CreateQueues(const VirtioDevice& device,
                                                             const GuestMemory& memory,
                                                             const Activation& activation);

class RequestDevice : public VirtioDevice {
 public:
  base::Result<void> Activate(DeviceHost& host, const Activation& activation) final;
  base::Result<void> Notify(size_t queue) final;
  void Reset() final;

 protected:
  // Answers one request: the number of bytes written from the start of chain.writable on. An error
  // is a request so malformed that it cannot be answered.
  virtual base::Result<size_t> Handle(const Chain& chain) = 0;

 private:
  DeviceHost* host_ = nullptr;  // borrowed from Activate to Reset
  std::vector<std::optional<Queue>> queues_;
};

}  // namespace vmm::virtio
