// Frames from one link to another, before the kernel's own network sees them: tc(8), an ingress
// queueing discipline with one filter that redirects.
// Thread rule and errors: as netlink::Socket's.
#pragma once

#include "runtime/base/result.h"
#include "runtime/netlink/socket.h"

namespace network {

// True if `link` has filters on what comes in, or room for them: ingress, clsact.
base::Result<bool> HasIngress(netlink::Socket& socket, int link);
// Room for filters. kAlreadyExists if HasIngress.
base::Result<void> AddIngress(netlink::Socket& socket, int link);
// What comes in at `from`, which has room, goes out at `to`.
base::Result<void> AddRedirect(netlink::Socket& socket, int from, int to);
// Undoes both; also takes anything else that was put there. Not an error if there is none.
base::Result<void> RemoveIngress(netlink::Socket& socket, int link);

}  // namespace network
