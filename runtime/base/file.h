// Whole small files, and opens that cannot leave a directory. Thread rule: reentrant.
#pragma once

#include <fcntl.h>

#include <string>
#include <string_view>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace base {

// open(2) with O_CLOEXEC added.
Result<UniqueFd> Open(const std::string& path, int flags, mode_t mode = 0);

// Opens `path`, which nobody vouches for, as if `root` were "/": openat2(2) with RESOLVE_IN_ROOT
// and RESOLVE_NO_MAGICLINKS. O_CLOEXEC added.
Result<UniqueFd> OpenInRoot(BorrowedFd root, const std::string& path, int flags, mode_t mode = 0);

// The whole file; kOutOfRange if it has more than `limit_bytes`.
Result<std::string> ReadFile(const std::string& path, size_t limit_bytes = 1 << 20);
Result<std::string> ReadAll(BorrowedFd fd, size_t limit_bytes);

// One write(2) to an existing file (cgroup, /proc, /sys); a short write is an error.
Result<void> WriteFile(const std::string& path, std::string_view text);
Result<void> WriteAll(BorrowedFd fd, std::string_view bytes);

// Creates or replaces `path` so that a reader sees the old or the new content, never a part.
Result<void> WriteFileAtomic(const std::string& path, std::string_view text, mode_t mode = 0644);

// mkdir -p; existing directories are fine.
Result<void> MakeDirectories(const std::string& path, mode_t mode = 0755);

}  // namespace base
