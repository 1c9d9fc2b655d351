#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cstring>
#include <utility>

#include "vmm/virtio/net_header.h"
#include "vmm/virtio/packet_port.h"

namespace vmm::virtio {
namespace {

class TapPort final : public PacketPort {
 public:
  explicit TapPort(base::UniqueFd tap) : tap_(std::move(tap)) {}

  base::BorrowedFd fd() const override { return tap_; }
  // Linux Documentation/networking/tuntap.rst; needs no capability, only the descriptor.
  base::Result<void> SetOffloads(unsigned offloads) override {
    if (ioctl(tap_.get(), TUNSETOFFLOAD, offloads) != 0) {
      return base::ErrnoError("TUNSETOFFLOAD {:#x}", offloads);
    }
    return base::Ok();
  }

 private:
  const base::UniqueFd tap_;
};

}  // namespace

base::Result<std::unique_ptr<PacketPort>> MakeTapPort(base::UniqueFd tap) {
  ifreq request{};
  if (ioctl(tap.get(), TUNGETIFF, &request) != 0) {
    return base::ErrnoError("descriptor {}: not a tap", tap.get());
  }
  constexpr int kWanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if ((request.ifr_flags & kWanted) != kWanted) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "tap: flags {:#x}: IFF_TAP, IFF_NO_PI and IFF_VNET_HDR are wanted",
                           static_cast<unsigned short>(request.ifr_flags));
  }
  int header_bytes = 0;
  if (ioctl(tap.get(), TUNGETVNETHDRSZ, &header_bytes) != 0) {
    return base::ErrnoError("TUNGETVNETHDRSZ");
  }
  if (header_bytes != sizeof(NetHeader)) {
    return base::MakeError(base::Code::kInvalidArgument, "tap: a header of {} bytes: must be {}",
                           header_bytes, sizeof(NetHeader));
  }
  const int flags = fcntl(tap.get(), F_GETFL);
  if (flags < 0 || fcntl(tap.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return base::ErrnoError("O_NONBLOCK of a tap");
  }
  return std::unique_ptr<PacketPort>(std::make_unique<TapPort>(std::move(tap)));
}

}  // namespace vmm::virtio
