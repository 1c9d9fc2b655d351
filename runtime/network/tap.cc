#include "runtime/network/tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "runtime/base/file.h"

namespace network {
namespace {

constexpr int kVirtioHeaderBytes = 12;  // virtio 1.2, 5.1.6

}  // namespace

base::Result<base::UniqueFd> MakeTap(const std::string& name) {
  base::UniqueFd tap = TRY(base::Open("/dev/net/tun", O_RDWR | O_NONBLOCK),
                           "the guest's network needs the kernel module tun");
  ifreq request{};
  if (name.size() >= sizeof(request.ifr_name)) {
    return base::MakeError(base::Code::kInvalidArgument, "tap \"{}\": at most {} characters", name,
                           sizeof(request.ifr_name) - 1);
  }
  name.copy(request.ifr_name, name.size());
  // IFF_TUN_EXCL: never somebody else's persistent tap of that name.
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL);
  if (ioctl(tap.get(), TUNSETIFF, &request) != 0) return base::ErrnoError("make tap {}", name);
  if (ioctl(tap.get(), TUNSETVNETHDRSZ, &kVirtioHeaderBytes) != 0) {
    return base::ErrnoError("tap {}: TUNSETVNETHDRSZ", name);
  }
  return tap;
}

}  // namespace network
