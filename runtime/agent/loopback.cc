#include "runtime/agent/loopback.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "runtime/base/unique_fd.h"

namespace agent {

base::Result<void> BringLoopbackUp() {
  // Any socket family serves these ioctls; a kernel without IPv4 still has AF_UNIX.
  base::UniqueFd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket_fd) socket_fd.Reset(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket_fd) return base::ErrnoError("socket for interface lo");
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  if (ioctl(socket_fd.get(), SIOCGIFFLAGS, &request) != 0) {
    return base::ErrnoError("flags of interface lo");
  }
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (ioctl(socket_fd.get(), SIOCSIFFLAGS, &request) != 0) {
    return base::ErrnoError("set interface lo up");
  }
  return base::Ok();
}

}  // namespace agent
