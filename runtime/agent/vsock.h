// Connections from the guest to the host. Thread rule: reentrant.
#pragma once

#include <cstdint>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

// Connects to `port` of the host (CID 2). Blocks until the host answers; the socket is blocking.
base::Result<base::UniqueFd> DialHost(uint32_t port);

}  // namespace agent
