// The directory of a pod that virtiofsd serves: a shared tmpfs of mount points, in which each
// container has <id>/rootfs and <id>/mounts/<n>. Thread rule: reentrant, blocks.
//
// Trust: the guest may ask virtiofsd for anything below it, and for nothing else.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/storage/bind.h"

namespace storage {

// Makes `directory` and mounts it: shared, so that what is mounted in it later propagates into the
// namespace of a virtiofsd that runs already.
base::Result<void> MakeShare(const std::string& directory);

// A clone of `rootfs` at <share>/<container_id>/rootfs.
base::Result<void> ShareRootfs(const std::string& share, const std::string& container_id,
                               const std::string& rootfs);

// A clone of `source` at <share>/<container_id>/mounts/<index>.
base::Result<void> ShareBind(const std::string& share, const std::string& container_id,
                             size_t index, const std::string& source, const CloneOptions& options);

// Whether that clone has mounts of its source below it, which a recursive one brings along.
base::Result<bool> HasMountsBelow(const std::string& share, const std::string& container_id,
                                  size_t index);

// Removes the container's part. Idempotent.
base::Result<void> UnshareContainer(const std::string& share, const std::string& container_id);

}  // namespace storage
