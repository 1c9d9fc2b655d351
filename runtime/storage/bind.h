// Clones of host directories and files, with their attributes set before anybody sees them.
// Thread rule: reentrant, blocks.
#pragma once

#include <string>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/base/user_namespace.h"

namespace storage {

struct CloneOptions {
  bool recursive = true;  // with what is mounted below
  bool read_only = false;
  bool read_only_recursive = false;
  // Mounts that appear in the source later appear here too.
  bool follow_source = false;
  // Whose files are shown as whose: config.md "Mounts", uidMappings. Empty: as they are.
  base::IdMap id_map = {};
  bool id_map_recursive = false;
};

// A clone of `source` (a directory or any other file) that is attached nowhere yet, and lies in no
// mount namespace; closing it undoes it. Devices cannot be opened in it. It never shares a peer
// group with the source: unmounting below it must not unmount on the host. Linux 5.12 or later
// (mount_setattr).
base::Result<base::UniqueFd> CloneTree(const std::string& source, const CloneOptions& options);

// Attaches a clone at `target` in the caller's mount namespace, which exists and is of the same
// sort.
base::Result<void> AttachTree(base::BorrowedFd tree, const std::string& target);

// Both.
base::Result<void> AttachClone(const std::string& source, const std::string& target,
                               const CloneOptions& options);

}  // namespace storage
