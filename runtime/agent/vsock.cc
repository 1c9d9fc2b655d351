#include "runtime/agent/vsock.h"

#include <sys/socket.h>
// After sys/socket.h, which it needs.
#include <linux/vm_sockets.h>

namespace agent {

base::Result<base::UniqueFd> DialHost(uint32_t port) {
  base::UniqueFd socket_fd(socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket_fd) return base::ErrnoError("vsock socket");
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
