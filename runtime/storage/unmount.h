// Undoing mounts, as often as one likes. Thread rule: reentrant, blocks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.h"

namespace storage {

// Of the caller's mount namespace: proc(5), /proc/PID/mountinfo.
base::Result<std::string> ReadMountInfo();

// The mount points at or below `directory`, in the order of `mountinfo` (proc(5)), escapes decoded.
std::vector<std::string> MountPointsBelow(std::string_view mountinfo, const std::string& directory);

// Unmounts everything at and below `path`, mounts upon mounts included, lazily, so that a busy
// one goes when its last user does. Nothing mounted, or no such directory, is success.
base::Result<void> UnmountTree(const std::string& path);

}  // namespace storage
