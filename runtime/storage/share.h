// The directory of a pod that virtiofsd serves: a tmpfs of mount points, in which each container
// has <id>/rootfs and <id>/mounts/<n>.
//
// The host sees the mount points empty: what is mounted there is so in virtiofsd's mount namespace
// alone, so that no directory of the host is busy because a container has it. Thread rule:
// reentrant, blocks.
//
// Trust: the guest may ask virtiofsd for anything below it, and for nothing else. From the first
// AttachToShare on the tmpfs itself is read-only for virtiofsd, so that a guest cannot put links
// and pipes in the way of who makes and removes mount points as the host's root.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/storage/bind.h"

namespace storage {

// Makes `directory` and mounts it.
base::Result<void> MakeShare(const std::string& directory);

// What a container is to find in the share, cloned and not yet there.
struct SharedTree {
  base::UniqueFd tree;
  std::string path;  // below the share
};

// A clone of `rootfs` for <container_id>/rootfs.
base::Result<SharedTree> CloneRootfs(const std::string& container_id, const std::string& rootfs);

// A clone of `source` for <container_id>/mounts/<index>.
base::Result<SharedTree> CloneBind(const std::string& container_id, size_t index,
                                   const std::string& source, const CloneOptions& options);

// Whether something is mounted below `source`, which a recursive clone brings along.
base::Result<bool> HasMountsBelow(const std::string& source);

// Makes the mount points and attaches `trees`. `server`: pidfd of the virtiofsd that has `share`
// for its root directory; kFailedPrecondition if it has not (yet). After a failure UnshareContainer
// removes what there is.
base::Result<void> AttachToShare(const std::string& share, base::BorrowedFd server,
                                 std::span<const SharedTree> trees);

// Removes the container's part. Idempotent.
base::Result<void> UnshareContainer(const std::string& share, const std::string& container_id);

}  // namespace storage
