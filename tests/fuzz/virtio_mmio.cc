// Hostile vCPUs: the input is a list of register accesses to a transport with an rng behind it. The
// reactor runs on a thread of its own, since a reset waits for it.
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <thread>

#include "runtime/base/log.h"
#include "vmm/virtio/devices.h"
#include "vmm/virtio/mmio_registers.h"
#include "vmm/virtio/mmio_transport.h"

namespace {

struct NoLine final : vmm::IrqLine {
  void Trigger() override {}
  base::BorrowedFd eventfd() override { return {}; }
};
struct NoDoorbells final : vmm::DoorbellRegistrar {
  base::Result<void> Register(vmm::GuestAddress, uint32_t, base::BorrowedFd) override {
    return base::Ok();
  }
};

struct World {
  World() {
    base::InitLog(base::BorrowedFd(2), base::LogLevel::kError);
    reactor = std::thread([this] { (void)loop->Run(); });
    reactor.detach();  // for as long as the fuzzer runs
  }
  std::unique_ptr<vmm::GuestMemory> memory = std::move(*vmm::GuestMemory::Create(1 << 16));
  std::unique_ptr<base::EventLoop> loop = std::move(*base::EventLoop::Create());
  NoLine line;
  NoDoorbells doorbells;
  std::thread reactor;
  std::unique_ptr<vmm::virtio::MmioTransport> transport;

  // Runs `task` on the reactor and waits.
  void OnLoop(const std::function<void()>& task) {
    std::atomic<bool> done{false};
    loop->Post([&] {
      task();
      done = true;
      done.notify_one();
    });
    done.wait(false);
  }
};

struct [[gnu::packed]] Access {
  uint8_t kind;
  uint16_t offset;
  uint32_t value;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World& world = *new World;
  world.OnLoop([] {
    world.transport = std::move(*vmm::virtio::MmioTransport::Create(
        vmm::virtio::MakeRng(), {*world.memory, world.line, *world.loop, world.doorbells},
        {0xd0000000}));
  });
  for (; size >= sizeof(Access); data += sizeof(Access), size -= sizeof(Access)) {
    Access access;
    std::memcpy(&access, data, sizeof(access));
    const size_t length = size_t{1} << (access.kind >> 1 & 3);
    // Mostly the registers, sometimes the rest of the page.
    const uint64_t range = (access.kind & 0x10) != 0 ? vmm::virtio::MmioTransport::kLength : 0x110;
    const uint64_t offset = access.offset % (range - 8);
    uint64_t value = access.value;
    const std::span bytes = std::as_writable_bytes(std::span(&value, 1)).first(length);
    if ((access.kind & 1) != 0) {
      world.transport->Read(offset, bytes);
    } else {
      world.transport->Write((access.kind & 0x20) != 0 ? vmm::virtio::mmio::kStatus : offset,
                             bytes);
    }
  }
  world.OnLoop([] { world.transport.reset(); });
  return 0;
}
