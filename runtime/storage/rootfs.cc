#include "runtime/storage/rootfs.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <filesystem>

#include "runtime/base/file.h"
#include "runtime/storage/bind.h"
#include "runtime/storage/mount_options.h"
#include "runtime/storage/overlay.h"
#include "runtime/storage/unmount.h"

namespace storage {
namespace {

using base::Code;
using base::MakeError;

// The mounts before it are an image's, whose links must not lead out of it (containerd resolves the
// target likewise).
base::Result<std::string> TargetIn(const std::string& rootfs, const std::string& target) {
  if (target.empty()) return rootfs;
  const base::UniqueFd root = TRY(base::Open(rootfs, O_PATH | O_DIRECTORY));
  const base::UniqueFd directory =
      TRY(base::OpenInRoot(root, target, O_PATH | O_DIRECTORY), "mount target {}", target);
  std::error_code error;
  std::string path =
      std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", directory.get()), error);
  if (error) return MakeError(Code::kInternal, "mount target {}: {}", target, error.message());
  return path;
}

base::Result<void> MountOne(const Mount& mount, const std::string& rootfs) {
  const MountOptions options = TRY(ParseMountOptions(mount.options));
  if (options.loop) {
    return MakeError(Code::kUnimplemented, "mount {} from {}: loop devices are not supported yet",
                     mount.type, mount.source);
  }
  const std::string target = TRY(TargetIn(rootfs, mount.target));
  if (mount.type == "bind" || options.bind) {
    return AttachClone(mount.source, target,
                       {.recursive = options.recursive,
                        .read_only = options.read_only,
                        .read_only_recursive = options.read_only_recursive,
                        .id_map = options.id_map});
  }
  if (mount.type == "overlay") return MountOverlay(mount.source, target, options);
  if (!options.id_map.empty()) {
    return MakeError(Code::kUnimplemented, "mount {} from {}: uidmap= and gidmap= of such a one",
                     mount.type, mount.source);
  }
  if (::mount(mount.source.c_str(), target.c_str(), mount.type.c_str(), options.flags,
              options.data.c_str()) != 0) {
    return base::ErrnoError("mount {} from {} on {}", mount.type, mount.source, target);
  }
  return base::Ok();
}

}  // namespace

base::Result<void> MountRootfs(std::span<const Mount> mounts, const std::string& rootfs) {
  TRY(base::MakeDirectories(rootfs));
  for (size_t i = 0; i < mounts.size(); ++i) {
    base::Result<void> mounted = MountOne(mounts[i], rootfs);
    if (mounted) continue;
    mounted.error().Push(__FILE__, __LINE__, "rootfs mount {} of {}", i + 1, mounts.size());
    // The first error is the one to report.
    if (i > 0) static_cast<void>(UnmountTree(rootfs));
    return mounted;
  }
  return base::Ok();
}

}  // namespace storage
