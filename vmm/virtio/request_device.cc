#include "vmm/virtio/request_device.h"

#include <utility>

namespace vmm::virtio {

base::Result<std::vector<std::optional<Queue>>> CreateQueues(const VirtioDevice& device,
                                                             const GuestMemory& memory,
                                                             const Activation& activation) {
  const std::span<const uint16_t> sizes = device.queue_sizes();
  std::vector<std::optional<Queue>> queues(sizes.size());
  for (size_t i = 0; i < activation.queues.size() && i < sizes.size(); ++i) {
    const QueueSetup& setup = activation.queues[i];
    if (!setup.ready) continue;
    queues[i] = TRY(Queue::Create(memory, setup.config, sizes[i],
                                  (activation.features & kFeatureEventIdx) != 0),
                    "queue {}", i);
  }
  return queues;
}

base::Result<void> PassChains(DeviceHost& host, Queue& queue, size_t index,
                              const std::function<base::Result<size_t>(const Chain&)>& handle) {
  bool more = true;
  for (unsigned budget = queue.size(); budget > 0; --budget) {
    const std::optional<Chain> chain = TRY(queue.Pop());
    if (!chain) {
      more = false;
      break;
    }
    const size_t written = TRY(handle(*chain), "request at descriptor {}", chain->head);
    queue.Push(chain->head, written);
  }
  if (more) host.NotifyAgain(index);
  return base::Ok();
}

base::Result<void> ServeQueue(DeviceHost& host, Queue& queue, size_t index,
                              const std::function<base::Result<size_t>(const Chain&)>& handle) {
  TRY(PassChains(host, queue, index, handle));
  if (queue.TakeSignal()) host.SignalUsed();
  return base::Ok();
}

base::Result<void> RequestDevice::Activate(DeviceHost& host, const Activation& activation) {
  queues_ = TRY(CreateQueues(*this, host.memory(), activation));
  host_ = &host;
  return base::Ok();
}

base::Result<void> RequestDevice::Notify(size_t index) {
  // A driver may notify a queue that it never set up.
  if (index >= queues_.size() || !queues_[index]) return base::Ok();
  return ServeQueue(*host_, *queues_[index], index,
                    [this](const Chain& chain) { return Handle(chain); });
}

void RequestDevice::Reset() {
  queues_.clear();
  host_ = nullptr;
}

}  // namespace vmm::virtio
