// Serialises the starts and deletes of one pod, across processes.
#pragma once

#include <string>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace shim {

// Held until the descriptor is closed. One byte of one file, chosen by the socket's name: nothing
// is left per pod. Two pods that share a byte only wait for each other. Blocks.
base::Result<base::UniqueFd> LockPod(const std::string& socket_path);

}  // namespace shim
