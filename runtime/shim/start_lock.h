// Serialises the starts and deletes of one pod, across processes.
#pragma once

#include <string>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/shim/flags.h"

namespace shim {

// The pod `key` of flags' containerd and namespace. Held until the descriptor is closed. One byte
// of one file: nothing is left per pod. Two pods that share a byte only wait for each other.
// Blocks.
base::Result<base::UniqueFd> LockPod(const Flags& flags, const std::string& key);

}  // namespace shim
