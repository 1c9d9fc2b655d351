// A hostile driver: the input is split over a device's queues and guest memory, then each queue is
// notified. Byte 0 picks the device, byte 1 the features.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "tests/support/fake_queue.h"
#include "tests/support/socket_port.h"
#include "vmm/virtio/devices.h"

namespace {

using testing_support::FakeHost;
using testing_support::FakeQueue;
using vmm::virtio::VirtioDevice;

constexpr uint64_t kMemoryBytes = 1 << 20;
constexpr uint16_t kQueueSize = 16;

std::unique_ptr<VirtioDevice> Device(uint8_t choice, std::vector<base::UniqueFd>& streams) {
  switch (choice % 5) {
    case 0:
      return vmm::virtio::MakeRng();
    case 1:
    case 2: {
      base::UniqueFd disk(memfd_create("disk", MFD_CLOEXEC));
      if (ftruncate(disk.get(), 64 << 10) != 0) return nullptr;
      return std::move(*vmm::virtio::MakeBlk(std::move(disk), choice % 5 == 1));
    }
    case 3: {
      int pair[2];
      if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
        return nullptr;
      }
      streams.emplace_back(pair[1]);
      return std::move(*vmm::virtio::MakeNet(
          std::make_unique<testing_support::SocketPort>(base::UniqueFd(pair[0])),
          {.mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500}));
    }
    default:
      return std::move(*vmm::virtio::MakeVsock(
          3, [&streams](uint32_t port, uint32_t, base::UniqueFd stream) -> base::Result<void> {
            if (port % 5 == 4) return base::MakeError(base::Code::kUnavailable, "no");
            streams.push_back(std::move(stream));
            return base::Ok();
          }));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 8) return 0;
  static const auto memory = std::move(*vmm::GuestMemory::Create(kMemoryBytes));
  static const auto loop = std::move(*base::EventLoop::Create());
  const auto whole = memory->Slice({0}, kMemoryBytes);
  std::fill(whole->begin(), whole->end(), std::byte{0});

  std::vector<base::UniqueFd> streams;
  const auto device = Device(data[0], streams);
  if (device == nullptr) return 0;
  FakeHost host(*memory, *loop);
  std::vector<FakeQueue> queues;
  std::vector<vmm::virtio::QueueSetup> setups;
  const size_t count = device->queue_sizes().size();
  for (size_t i = 0; i < count; ++i) {
    queues.emplace_back(*memory, i * FakeQueue::kSpan, kQueueSize);
    setups.push_back(queues.back().setup());
  }
  const uint64_t features =
      vmm::virtio::kFeatureVersion1 | ((data[1] & 1) != 0 ? vmm::virtio::kFeatureEventIdx : 0) |
      ((data[1] & 2) != 0 ? device->features() & ~vmm::virtio::kFeatureEventIdx : 0);
  if (!device->Activate(host, {.features = features, .queues = setups})) return 0;

  // Well-formed chains of hostile content, or, with the high bit, hostile descriptors.
  std::span<const uint8_t> rest(data + 2, size - 2);
  const auto take = [&rest]() -> uint8_t {
    if (rest.empty()) return 0;
    const uint8_t value = rest.front();
    rest = rest.subspan(1);
    return value;
  };
  for (int step = 0; step < 64 && !rest.empty(); ++step) {
    const uint8_t shape = take();
    FakeQueue& queue = queues[shape % count];
    if ((shape & 0x80) != 0) {
      const uint16_t index = take();
      const uint64_t address = uint64_t{take()} << (take() % 64);
      queue.SetDescriptor(index % kQueueSize, address, uint32_t{take()} << (take() % 32),
                          take() & 7, take());
      queue.Offer(take());
    } else {
      const size_t length = std::min<size_t>(rest.size(), take());
      const std::string text(reinterpret_cast<const char*>(rest.data()),
                             std::min(length, rest.size()));
      rest = rest.subspan(text.size());
      const size_t cut = text.empty() ? 0 : take() % (text.size() + 1);
      queue.Add({text.substr(0, cut), text.substr(cut)}, {uint32_t{take()} * 8, take()});
    }
    if (!device->Notify(shape % count)) break;
    for (const base::UniqueFd& stream : streams) {
      const uint8_t what = take();
      const std::string text(what, 'x');
      if (what % 3 == 0) {
        (void)send(stream.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      }
    }
    (void)loop->RunOnce(std::chrono::milliseconds(0));
    if (!host.failures.empty()) break;
  }
  device->Reset();
  return 0;
}
