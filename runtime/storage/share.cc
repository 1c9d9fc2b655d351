#include "runtime/storage/share.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include "runtime/base/file.h"
#include "runtime/base/log.h"
#include "runtime/storage/unmount.h"

namespace storage {
namespace {

// `name` in `parent`, made if it is missing; a link there is not followed.
base::Result<base::UniqueFd> OpenOrMakeDirectory(base::BorrowedFd parent, const std::string& name) {
  if (mkdirat(parent.get(), name.c_str(), 0755) != 0 && errno != EEXIST) {
    return base::ErrnoError("mkdir {}", name);
  }
  base::UniqueFd directory(
      openat(parent.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return base::ErrnoError("open {}", name);
  return directory;
}

// On the host, where the share is writable: a directory or an empty file, as `shared` is one.
base::Result<void> MakeMountPoint(base::BorrowedFd share, const SharedTree& shared) {
  struct stat status {};
  if (fstat(shared.tree.get(), &status) != 0) return base::ErrnoError("fstat for {}", shared.path);
  base::UniqueFd parent;
  std::string rest = shared.path;
  for (size_t slash; (slash = rest.find('/')) != std::string::npos; rest.erase(0, slash + 1)) {
    parent =
        TRY(OpenOrMakeDirectory(parent ? base::BorrowedFd(parent) : share, rest.substr(0, slash)),
            "mount point {}", shared.path);
  }
  const int made = S_ISDIR(status.st_mode) ? mkdirat(parent.get(), rest.c_str(), 0755)
                                           : mknodat(parent.get(), rest.c_str(), S_IFREG | 0644, 0);
  if (made != 0 && errno != EEXIST) return base::ErrnoError("mount point {}", shared.path);
  return base::Ok();
}

// What is mounted below the share's root is not concerned.
base::Result<void> MakeRootReadOnly() {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (mount_setattr(AT_FDCWD, "/", 0, &attributes, sizeof attributes) != 0) {
    return base::ErrnoError("make the share's root read-only for the guest");
  }
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
  TRY(MakeRootReadOnly());
  for (const SharedTree& shared : trees) TRY(AttachTree(shared.tree, "/" + shared.path));
  return base::Ok();
}

// Nothing is mounted here; removing a mount point detaches what is mounted on it in other
// namespaces (Linux 3.18, fs/namei.c, vfs_rmdir and vfs_unlink).
base::Result<void> RemoveMountPoint(base::BorrowedFd parent, const char* name) {
  if (unlinkat(parent.get(), name, 0) == 0 || errno == ENOENT) return base::Ok();
  if (errno == EISDIR && (unlinkat(parent.get(), name, AT_REMOVEDIR) == 0 || errno == ENOENT)) {
    return base::Ok();
  }
  return base::ErrnoError("remove {}", base::Escaped(name, 80));
}

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};

base::Result<void> RemoveMountPointsIn(base::UniqueFd directory) {
  const std::unique_ptr<DIR, DirectoryCloser> entries(fdopendir(directory.get()));
  if (!entries) return base::ErrnoError("fdopendir");
  const base::BorrowedFd fd(directory.Release());  // is the DIR's
  while (const dirent* const entry = readdir(entries.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    TRY(RemoveMountPoint(fd, entry->d_name));
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
  for (const SharedTree& shared : trees) TRY(MakeMountPoint(root, shared));
  base::Result<void> result;
  std::thread([&] { result = AttachInNamespace(root, server, trees); }).join();
  return result;
}

// By descriptors, and no link is followed: whatever a guest could make of a name here, nothing of
// the host's is behind it.
base::Result<void> UnshareContainer(const std::string& share, const std::string& container_id) {
  base::Result<base::UniqueFd> opened = base::Open(share, O_PATH | O_DIRECTORY);
  if (!opened && opened.error().error_number() == ENOENT) return base::Ok();
  const base::UniqueFd root = TRY(std::move(opened));
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  base::UniqueFd own(openat(root.get(), container_id.c_str(), kFlags));
  if (own) {
    TRY(RemoveMountPoint(own, "rootfs"), "{}", container_id);
    base::UniqueFd mounts(openat(own.get(), "mounts", kFlags));
    if (mounts) TRY(RemoveMountPointsIn(std::move(mounts)), "{}/mounts", container_id);
    TRY(RemoveMountPoint(own, "mounts"), "{}", container_id);
  }
  return RemoveMountPoint(root, container_id.c_str());
}

}  // namespace storage
