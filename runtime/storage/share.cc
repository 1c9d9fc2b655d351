#include "runtime/storage/share.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string_view>

#include "runtime/base/file.h"
#include "runtime/storage/unmount.h"

namespace storage {
namespace {

std::string PathOfBind(const std::string& share, const std::string& container_id, size_t index) {
  return fmt::format("{}/{}/mounts/{}", share, container_id, index);
}

}  // namespace

base::Result<void> MakeShare(const std::string& directory) {
  TRY(base::MakeDirectories(directory, 0711));
  // It holds empty directories and files only; the limit keeps a mistake small.
  if (mount("pinion", directory.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
            "mode=0711,size=4m") != 0) {
    return base::ErrnoError("mount tmpfs on {}", directory);
  }
  if (mount(nullptr, directory.c_str(), nullptr, MS_SHARED, nullptr) != 0) {
    base::Error error = base::ErrnoError("make {} shared", directory);
    static_cast<void>(UnmountTree(directory));
    return error;
  }
  return base::Ok();
}

base::Result<void> ShareRootfs(const std::string& share, const std::string& container_id,
                               const std::string& rootfs) {
  struct stat status {};
  if (stat(rootfs.c_str(), &status) != 0) return base::ErrnoError("rootfs {}", rootfs);
  if (!S_ISDIR(status.st_mode)) {
    return base::MakeError(base::Code::kInvalidArgument, "rootfs {} is no directory", rootfs);
  }
  const std::string target = share + "/" + container_id + "/rootfs";
  TRY(base::MakeDirectories(target));
  return AttachClone(rootfs, target, {.recursive = true});
}

base::Result<void> ShareBind(const std::string& share, const std::string& container_id,
                             size_t index, const std::string& source, const CloneOptions& options) {
  const std::string target = PathOfBind(share, container_id, index);
  TRY(MakeMountPoint(source, target));
  return AttachClone(source, target, options);
}

base::Result<bool> HasMountsBelow(const std::string& share, const std::string& container_id,
                                  size_t index) {
  const std::string mountinfo = TRY(ReadMountInfo());
  return MountPointsBelow(mountinfo, PathOfBind(share, container_id, index)).size() > 1;
}

base::Result<void> UnshareContainer(const std::string& share, const std::string& container_id) {
  const std::string directory = share + "/" + container_id;
  TRY(UnmountTree(directory));
  // UnmountTree left nothing mounted here (or said so), therefore this removes mount points only.
  for (const std::string_view sub : {"/rootfs", "/mounts", ""}) {
    const std::string path = directory + std::string(sub);
    if (sub == "/mounts") {
      std::error_code ignored;
      for (std::filesystem::directory_iterator entry(path, ignored), end; entry != end;
           entry.increment(ignored)) {
        if (remove(entry->path().c_str()) != 0 && errno != ENOENT) {
          return base::ErrnoError("remove {}", entry->path().string());
        }
      }
    }
    if (rmdir(path.c_str()) != 0 && errno != ENOENT) return base::ErrnoError("rmdir {}", path);
  }
  return base::Ok();
}

}  // namespace storage
