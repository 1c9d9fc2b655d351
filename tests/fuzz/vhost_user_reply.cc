// A hostile virtiofs back end: the input is everything that it ever answers.
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cstdint>

#include "runtime/base/socket.h"
#include "tests/support/fake_queue.h"
#include "vmm/virtio/devices.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using testing_support::FakeQueue;
  static const auto memory = std::move(*vmm::GuestMemory::Create(1 << 20));
  static const auto loop = std::move(*base::EventLoop::Create());
  static const base::UniqueFd event(eventfd(0, EFD_CLOEXEC));
  auto pair = base::SocketPair(SOCK_STREAM);
  if (!pair) return 0;
  if (send(pair->second.get(), data, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return 0;
  shutdown(pair->second.get(), SHUT_WR);
  auto device = vmm::virtio::MakeFs(std::move(pair->first), "tag", {});
  if (!device) return 0;
  testing_support::FakeHost host(*memory, *loop);
  host.call = event;
  const vmm::virtio::QueueSetup setups[] = {FakeQueue(*memory, 0, 16).setup(event),
                                            FakeQueue(*memory, FakeQueue::kSpan, 16).setup(event)};
  (void)(*device)->Activate(host, {.features = (*device)->features(), .queues = setups});
  (*device)->Reset();
  return 0;
}
