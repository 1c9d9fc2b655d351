#include "runtime/shim/rootfs_mounts.h"

#include <sys/mount.h>

namespace shim {
namespace {

// Mounts stacked on one point; far more than anybody makes, so that a mount that comes back at once
// cannot keep us.
constexpr int kMaxStacked = 128;

}  // namespace

base::Result<void> UnmountAll(const std::string& path) {
  for (int i = 0; i < kMaxStacked; ++i) {
    // A lazy unmount takes along what is mounted below (umount(2), MNT_DETACH).
    if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
    // EINVAL: no mount point.
    if (errno == EINVAL || errno == ENOENT) return base::Ok();
    return base::ErrnoError("unmount {}", path);
  }
  return base::MakeError(base::Code::kInternal, "{}: still mounted after {} unmounts", path,
                         kMaxStacked);
}

}  // namespace shim
