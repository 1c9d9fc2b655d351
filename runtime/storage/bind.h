// Clones of host directories and files, with their attributes set before anybody sees them.
// Thread rule: reentrant, blocks.
#pragma once

#include <string>

#include "runtime/base/result.h"

namespace storage {

struct CloneOptions {
  bool recursive = true;  // with what is mounted below
  bool read_only = false;
  bool read_only_recursive = false;
  // Mounts that appear in the source later appear here too.
  bool follow_source = false;
};

// Clones `source` (a directory or any other file) and attaches it at `target`, which exists and is
// of the same sort. The read-only flag is on before the clone is attached, because what a peer
// mount namespace (virtiofsd's) received by propagation does not change any more. The clone never
// shares a peer group with the source: unmounting below `target` must not unmount on the host.
// Linux 5.12 or later (mount_setattr).
base::Result<void> AttachClone(const std::string& source, const std::string& target,
                               const CloneOptions& options);

// Makes `target` as AttachClone wants it: a directory if `source` is one, else an empty file.
base::Result<void> MakeMountPoint(const std::string& source, const std::string& target);

}  // namespace storage
