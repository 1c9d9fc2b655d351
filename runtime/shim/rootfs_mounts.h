// What containerd or a dead shim left mounted at a bundle's rootfs.
#pragma once

#include <string>

#include "runtime/base/result.h"

namespace shim {

// Unmounts everything at `path` and below it, lazily: a process that still uses it does not hold
// `delete` up. Nothing mounted, or no such path, is success.
base::Result<void> UnmountAll(const std::string& path);

}  // namespace shim
