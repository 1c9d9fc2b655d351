#include "runtime/agent/vsock.h"

#include <sys/socket.h>
#include <sys/time.h>
// After sys/socket.h, which it needs.
#include <linux/vm_sockets.h>

namespace agent {
namespace {

// The kernel's own limit is 2 s, which an emulated or crowded host overruns. The host has the
// better reason to give up, and the deadline for it.
constexpr timeval kConnectTimeout{120, 0};

}  // namespace

base::Result<base::UniqueFd> DialHost(uint32_t port) {
  base::UniqueFd socket_fd(socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket_fd) return base::ErrnoError("vsock socket");
  // Failing leaves the kernel's limit.
  setsockopt(socket_fd.get(), AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &kConnectTimeout,
             sizeof kConnectTimeout);
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_HOST;
  address.svm_port = port;
  if (TEMP_FAILURE_RETRY(connect(socket_fd.get(), reinterpret_cast<const sockaddr*>(&address),
                                 sizeof address)) != 0) {
    return base::ErrnoError("connect to vsock port {} of the host", port);
  }
  return socket_fd;
}

}  // namespace agent
