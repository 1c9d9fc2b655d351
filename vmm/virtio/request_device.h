// RequestDevice: the queue handling of a device that answers each request at once and in order, and
// its parts for devices one of whose queues is like that.
// Thread rule: reactor-bound (device.h).
#pragma once

#include <cstddef>
#include <functional>
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

// Hands the chains of `queue`, which has this index, to `handle` and gives each back with the
// number of bytes that this returns. One queue's worth, then the reactor's other work has its turn.
// The driver is not told.
base::Result<void> PassChains(DeviceHost& host, Queue& queue, size_t index,
                              const std::function<base::Result<size_t>(const Chain&)>& handle);
// The same, and tells the driver if it wants to know.
base::Result<void> ServeQueue(DeviceHost& host, Queue& queue, size_t index,
                              const std::function<base::Result<size_t>(const Chain&)>& handle);

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
