// virtio-rng (virtio 1.2, 5.4): random bytes of the host's kernel.
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "vmm/virtio/devices.h"
#include "vmm/virtio/request_device.h"

namespace vmm::virtio {
namespace {

constexpr uint16_t kQueueSizes[] = {64};
// A guest that asks for more gets less, which virtio 1.2, 5.4.6.2 allows: the reactor is not held.
constexpr size_t kMaxRequestBytes = 4096;

class RngDevice final : public RequestDevice {
 public:
  std::string_view name() const override { return "rng"; }
  DeviceType type() const override { return DeviceType::kEntropy; }
  uint64_t features() const override { return kFeatureVersion1 | kFeatureEventIdx; }
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  std::span<const std::byte> config() const override { return {}; }

 private:
  base::Result<size_t> Handle(const Chain& chain) override {
    size_t written = 0;
    for (const iovec& buffer : chain.writable) {
      const size_t want = std::min(buffer.iov_len, kMaxRequestBytes - written);
      size_t done = 0;
      while (done < want) {
        const ssize_t got =
            getrandom(static_cast<std::byte*>(buffer.iov_base) + done, want - done, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return base::ErrnoError("getrandom");
        done += static_cast<size_t>(got);
      }
      written += done;
      if (written == kMaxRequestBytes) break;
    }
    return written;
  }
};

}  // namespace

std::unique_ptr<VirtioDevice> MakeRng() { return std::make_unique<RngDevice>(); }

}  // namespace vmm::virtio
