// Paths below a container's root, where image and volumes may hold any symbolic link.
//
// Thread rule: reentrant. Every step opens one name with O_NOFOLLOW from a directory that is
// already held open, links are followed by reading them, ".." goes back along the directories that
// were passed: no name, link or rename race can lead out of `root`.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

enum class PathKind { kDirectory, kFile };

// Opens `path` below `root` with O_PATH and makes what is missing: directories (0755, owned by the
// caller) and, for kFile, an empty last file. An existing end of another kind is left as it is: a
// bind mount of a file over a device, or of a socket, is the caller's business.
// kInvalidArgument for more than 40 links; kFailedPrecondition if a file is in the way.
base::Result<base::UniqueFd> OpenOrCreate(base::BorrowedFd root, std::string_view path,
                                          PathKind kind);

// The directory that holds `path` (made if missing) and its last name; that name is not looked at.
struct ParentAndName {
  base::UniqueFd parent;
  std::string name;
};
base::Result<ParentAndName> OpenParent(base::BorrowedFd root, std::string_view path);

// As OpenOrCreate with kDirectory, but any symbolic link on the way is an error: for mounts such as
// /proc, which an image could divert to another place of its root.
base::Result<base::UniqueFd> OpenOrCreateNoLinks(base::BorrowedFd root, std::string_view path);

}  // namespace agent
