#include "runtime/storage/share.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string_view>
#include <thread>

#include "runtime/base/file.h"
#include "runtime/storage/unmount.h"

namespace storage {
namespace {

base::Result<void> MakeMountPoint(base::BorrowedFd tree, const std::string& target) {
  struct stat status {};
  if (fstat(tree.get(), &status) != 0) return base::ErrnoError("fstat for {}", target);
  if (S_ISDIR(status.st_mode)) return base::MakeDirectories(target);
  TRY(base::MakeDirectories(target.substr(0, target.rfind('/'))));
  TRY(base::Open(target, O_WRONLY | O_CREAT | O_NOFOLLOW, 0644));
  return base::Ok();
}

// On a thread of its own, whose namespace and root directory it changes.
base::Result<void> AttachInNamespace(base::BorrowedFd share, base::BorrowedFd server,
                                     std::span<const SharedTree> trees) {
  // setns(2): not with a root directory that other threads share.
  if (unshare(CLONE_FS) != 0) return base::ErrnoError("unshare(CLONE_FS)");
  if (setns(server.get(), CLONE_NEWNS) != 0) {
    return base::ErrnoError("join the file server's mount namespace");
  }
  struct stat wanted {};
  struct stat root {};
  if (fstat(share.get(), &wanted) != 0 || stat("/", &root) != 0) return base::ErrnoError("stat");
  if (wanted.st_dev != root.st_dev || wanted.st_ino != root.st_ino) {
    return base::MakeError(base::Code::kFailedPrecondition,
                           "the file server's root directory is not the share");
  }
  for (const SharedTree& shared : trees) {
    const std::string target = "/" + shared.path;
    TRY(MakeMountPoint(shared.tree, target));
    TRY(AttachTree(shared.tree, target));
  }
  return base::Ok();
}

}  // namespace

base::Result<void> MakeShare(const std::string& directory) {
  TRY(base::MakeDirectories(directory, 0711));
  // It holds empty directories and files only; the limit keeps a mistake small.
  if (mount("pinion", directory.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
            "mode=0711,size=4m") != 0) {
    return base::ErrnoError("mount tmpfs on {}", directory);
  }
  // The parent's peers have it as well, but virtiofsd's mounts in it are its own.
  if (mount(nullptr, directory.c_str(), nullptr, MS_PRIVATE, nullptr) != 0) {
    base::Error error = base::ErrnoError("make {} private", directory);
    static_cast<void>(UnmountTree(directory));
    return error;
  }
  return base::Ok();
}

base::Result<SharedTree> CloneRootfs(const std::string& container_id, const std::string& rootfs) {
  struct stat status {};
  if (stat(rootfs.c_str(), &status) != 0) return base::ErrnoError("rootfs {}", rootfs);
  if (!S_ISDIR(status.st_mode)) {
    return base::MakeError(base::Code::kInvalidArgument, "rootfs {} is no directory", rootfs);
  }
  base::UniqueFd tree = TRY(CloneTree(rootfs, {.recursive = true}));
  return SharedTree{std::move(tree), container_id + "/rootfs"};
}

base::Result<SharedTree> CloneBind(const std::string& container_id, size_t index,
                                   const std::string& source, const CloneOptions& options) {
  base::UniqueFd tree = TRY(CloneTree(source, options));
  return SharedTree{std::move(tree), fmt::format("{}/mounts/{}", container_id, index)};
}

base::Result<bool> HasMountsBelow(const std::string& source) {
  std::error_code error;
  const std::string canonical = std::filesystem::canonical(source, error);
  if (error) return base::ErrnoError("bind source {}", source);
  const std::string mountinfo = TRY(ReadMountInfo());
  for (const std::string& point : MountPointsBelow(mountinfo, canonical)) {
    if (point != canonical) return true;
  }
  return false;
}

base::Result<void> AttachToShare(const std::string& share, base::BorrowedFd server,
                                 std::span<const SharedTree> trees) {
  const base::UniqueFd root = TRY(base::Open(share, O_PATH | O_DIRECTORY));
  base::Result<void> result;
  std::thread([&] { result = AttachInNamespace(root, server, trees); }).join();
  return result;
}

base::Result<void> UnshareContainer(const std::string& share, const std::string& container_id) {
  const std::string directory = share + "/" + container_id;
  // Nothing is mounted here; removing a mount point detaches what is mounted on it in other
  // namespaces (Linux 3.18, fs/namei.c, vfs_rmdir and vfs_unlink).
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
