// Mounts a container's rootfs as containerd describes it (containerd docs/mounts.md: applied in
// order). Thread rule: reentrant, blocks.
#pragma once

#include <span>
#include <string>

#include "runtime/base/result.h"
#include "runtime/storage/mount.h"

namespace storage {

// Applies `mounts` onto `rootfs`, an absolute path of ours, which is made if it is missing. What
// was mounted before a failure is unmounted again. kUnimplemented: a mount that wants a loop
// device.
base::Result<void> MountRootfs(std::span<const Mount> mounts, const std::string& rootfs);

}  // namespace storage
