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

// The data of an overlay mount made to fit: relative to `directory`, the deepest common parent of
// its lowerdirs, upperdir and workdir. mount(2) takes less than a page of it.
struct CompactData {
  std::string directory;  // empty: `data` is as it was
  std::string data;
};
CompactData CompactOverlayData(const std::string& data);

}  // namespace storage
