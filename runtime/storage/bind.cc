#include "runtime/storage/bind.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

// <sys/mount.h> of newer C libraries clashes with <linux/mount.h>; these are the kernel's values.
#ifndef MS_PRIVATE
#define MS_PRIVATE (1 << 18)
#define MS_SLAVE (1 << 19)
#endif

namespace storage {
namespace {

base::Result<void> SetAttributes(base::BorrowedFd tree, bool recursive, mount_attr attributes,
                                 const std::string& source) {
  const unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0U);
  if (syscall(SYS_mount_setattr, tree.get(), "", flags, &attributes, sizeof attributes) != 0) {
    return base::ErrnoError("mount_setattr on a clone of {}", source);
  }
  return base::Ok();
}

base::Result<void> MapIds(base::BorrowedFd tree, const CloneOptions& options,
                          const std::string& source) {
  const base::UniqueFd user_namespace = TRY(base::MakeUserNamespace(options.id_map));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<__u64>(user_namespace.get());
  TRY(SetAttributes(tree, options.id_map_recursive, attributes, source),
      "map ids of {} (its file system may not know how: mount_setattr(2), MOUNT_ATTR_IDMAP)",
      source);
  return base::Ok();
}

}  // namespace

base::Result<base::UniqueFd> CloneTree(const std::string& source, const CloneOptions& options) {
  const unsigned flags = static_cast<unsigned>(OPEN_TREE_CLONE) | OPEN_TREE_CLOEXEC |
                         (options.recursive ? static_cast<unsigned>(AT_RECURSIVE) : 0U);
  base::UniqueFd tree(static_cast<int>(syscall(SYS_open_tree, AT_FDCWD, source.c_str(), flags)));
  if (!tree) return base::ErrnoError("bind {}", source);
  mount_attr attributes{};
  attributes.propagation = options.follow_source ? MS_SLAVE : MS_PRIVATE;
  // Device nodes of a rootfs or volume are opened by the guest, as its own; nobody on the host is
  // to open the host's devices there, virtiofsd least of all.
  attributes.attr_set = MOUNT_ATTR_NODEV;
  if (options.read_only_recursive) attributes.attr_set |= MOUNT_ATTR_RDONLY;
  TRY(SetAttributes(tree, true, attributes, source));
  if (!options.id_map.empty()) TRY(MapIds(tree, options, source));
  if (options.read_only) {
    mount_attr top{};
    top.attr_set = MOUNT_ATTR_RDONLY;
    TRY(SetAttributes(tree, false, top, source));
  }
  return tree;
}

base::Result<void> AttachTree(base::BorrowedFd tree, const std::string& target) {
  if (syscall(SYS_move_mount, tree.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) !=
      0) {
    return base::ErrnoError("attach a mount at {}", target);
  }
  return base::Ok();
}

base::Result<void> AttachClone(const std::string& source, const std::string& target,
                               const CloneOptions& options) {
  const base::UniqueFd tree = TRY(CloneTree(source, options));
  TRY(AttachTree(tree, target), "bind {}", source);
  return base::Ok();
}

}  // namespace storage
