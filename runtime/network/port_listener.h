// PortListener: takes every TCP connection that a program inside a network namespace makes to an
// address of its own there, 127.0.0.1 and ::1 among them, whatever the port. containerd's
// port-forward is such a program (containerd-shim.md, trap 9): the pod's processes, whom it means,
// are in the guest.
//
// A BPF program of type sk_lookup (Linux 5.9 and later) hands the connections to one listening
// socket; accept(2) and getsockname(2) tell what was dialled. Both go with their descriptors: there
// is nothing to clean up.
// Thread rule: reentrant; blocks.
#pragma once

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace network {

struct PortListener {
  base::UniqueFd socket;  // non-blocking; of both families if the kernel has both
  base::UniqueFd link;    // the program's hold on the namespace
};

base::Result<PortListener> ListenToAllPorts(base::BorrowedFd ns);

}  // namespace network
