#include "runtime/agent/rootfs.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/file.h"

namespace agent {
namespace {

// The file that a path names below the root; an invalid descriptor if there is none.
base::Result<base::UniqueFd> Find(base::BorrowedFd root, const std::string& path) {
  base::Result<base::UniqueFd> found = base::OpenInRoot(root, path, O_PATH);
  if (!found &&
      (found.error().error_number() == ENOENT || found.error().error_number() == ENOTDIR)) {
    return base::UniqueFd();
  }
  return found;
}

base::Result<void> Mask(base::BorrowedFd root, const std::string& path) {
  const base::UniqueFd target = TRY(Find(root, path));
  if (!target) return base::Ok();
  struct stat status {};
  if (fstat(target.get(), &status) != 0) return base::ErrnoError("stat");
  if (!S_ISDIR(status.st_mode)) {
    const base::UniqueFd null = TRY(CloneTree("/dev/null", false));
    return Attach(null, target);
  }
  MountOptions options;
  options.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  options.parameters = {{"nr_inodes", "2"}, {"size", "0"}};
  const base::UniqueFd empty = TRY(NewFilesystem("tmpfs", "tmpfs", options));
  return Attach(empty, target);
}

base::Result<void> MakeReadOnly(base::BorrowedFd root, const std::string& path) {
  const base::UniqueFd target = TRY(Find(root, path));
  if (!target) return base::Ok();
  const base::UniqueFd tree = TRY(CloneTree(target, true));
  TRY(SetAttributes(tree, MOUNT_ATTR_RDONLY, 0, 0, true));
  return Attach(tree, target);
}

base::Result<uint64_t> PropagationFlag(const std::string& name, bool* recursive) {
  const MountOptions options = TRY(ParseMountOptions({name}));
  if (options.propagation == 0) {
    return base::MakeError(base::Code::kInvalidArgument, "rootfsPropagation \"{}\"", name);
  }
  *recursive = options.recursive_propagation;
  return options.propagation;
}

}  // namespace

base::Result<base::UniqueFd> OpenRootfs(const std::string& path) {
  // Slave, not private: what the agent mounts later below a bind source still arrives.
  if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return base::ErrnoError("cut off the mount namespace");
  }
  base::UniqueFd tree = TRY(CloneTree(path, true), "rootfs \"{}\"", path);
  struct stat status {};
  if (fstat(tree.get(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return base::MakeError(base::Code::kFailedPrecondition, "rootfs \"{}\" is not a directory",
                           path);
  }
  const base::UniqueFd target = TRY(base::Open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  TRY(Attach(tree, target), "rootfs \"{}\"", path);
  return tree;
}

base::Result<void> HidePaths(base::BorrowedFd root, const oci::LinuxConfig& linux_config) {
  for (const std::string& path : linux_config.readonly_paths) {
    TRY(MakeReadOnly(root, path), "read-only path \"{}\"", path);
  }
  for (const std::string& path : linux_config.masked_paths) {
    TRY(Mask(root, path), "masked path \"{}\"", path);
  }
  return base::Ok();
}

base::Result<void> EnterRootfs(base::BorrowedFd root) {
  const base::UniqueFd old_root = TRY(base::Open("/", O_PATH | O_DIRECTORY));
  if (fchdir(root.get()) != 0) return base::ErrnoError("chdir to the rootfs");
  // With both arguments ".", the old root ends up stacked over the new one, which needs no
  // directory in the image; pivot_root(2), "pivot_root(".", ".")".
  if (syscall(SYS_pivot_root, ".", ".") != 0) return base::ErrnoError("pivot_root");
  if (fchdir(old_root.get()) != 0) return base::ErrnoError("chdir to the old root");
  // Private first, so that taking it off is nobody else's business.
  if (mount(nullptr, ".", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return base::ErrnoError("make the old root private");
  }
  if (umount2(".", MNT_DETACH) != 0) return base::ErrnoError("unmount the old root");
  if (chdir("/") != 0) return base::ErrnoError("chdir /");
  return base::Ok();
}

base::Result<void> FinishRootfs(const oci::Spec& spec) {
  const base::UniqueFd root = TRY(base::Open("/", O_PATH | O_DIRECTORY));
  if (!spec.linux_config.rootfs_propagation.empty()) {
    bool recursive = false;
    const uint64_t flag = TRY(PropagationFlag(spec.linux_config.rootfs_propagation, &recursive));
    TRY(SetAttributes(root, 0, 0, flag, recursive), "rootfsPropagation");
  }
  if (spec.root->readonly) {
    TRY(SetAttributes(root, MOUNT_ATTR_RDONLY, 0, 0, false), "make the root read-only");
  }
  return base::Ok();
}

}  // namespace agent
