#include "runtime/agent/mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "runtime/agent/rooted_path.h"
#include "runtime/base/file.h"

namespace agent {
namespace {

constexpr uint64_t kReadOnly = MOUNT_ATTR_RDONLY;

// Files of /proc that lxcfs and its like cover. Anything else on procfs is refused: a mount there
// could fool whoever believes /proc, the agent's own checks first.
constexpr std::string_view kProcCovers[] = {
    "/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/slabinfo",
    "/proc/stat",    "/proc/swaps",     "/proc/uptime",  "/proc/net/dev",
};

// What the kernel has to say about a refused fsconfig(2); empty if nothing.
std::string ContextLog(base::BorrowedFd context) {
  char text[512];
  const ssize_t size = read(context.get(), text, sizeof text);
  if (size <= 0) return {};
  return fmt::format(" ({})", std::string_view(text, static_cast<size_t>(size)));
}

base::Result<void> Configure(base::BorrowedFd context, const std::string& type,
                             const std::string& key, const std::string* value) {
  const unsigned int command = value != nullptr ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
  if (fsconfig(context.get(), command, key.c_str(), value != nullptr ? value->c_str() : nullptr,
               0) != 0) {
    base::Error error =
        base::ErrnoError("{} option \"{}\"{}", type, key, value != nullptr ? "=" + *value : "");
    error.Push(__FILE__, __LINE__, "refused{}", ContextLog(context));
    return error;
  }
  return base::Ok();
}

bool IsDirectory(base::BorrowedFd fd) {
  struct stat status {};
  return fstat(fd.get(), &status) == 0 && S_ISDIR(status.st_mode);
}

base::Result<void> CheckTarget(base::BorrowedFd target, const std::string& destination) {
  struct statfs status {};
  if (fstatfs(target.get(), &status) != 0) return base::ErrnoError("statfs {}", destination);
  if (status.f_type != PROC_SUPER_MAGIC) return base::Ok();
  if (std::find(std::begin(kProcCovers), std::end(kProcCovers), destination) !=
      std::end(kProcCovers)) {
    return base::Ok();
  }
  return base::MakeError(base::Code::kInvalidArgument,
                         "mount on \"{}\": it lies in procfs, where none is allowed", destination);
}

base::Result<base::UniqueFd> MakeCgroupMount(const MountOptions& options) {
  // The words of a v1 mount (controller names, xattr) mean nothing to the one v2 hierarchy.
  MountOptions plain;
  plain.set = options.set;
  return NewFilesystem("cgroup2", "cgroup", plain);
}

// The namespace that an instance of file system `type` shows; 0 for others.
uint64_t NamespaceShown(const std::string& type) {
  if (type == "sysfs") return CLONE_NEWNET;
  if (type == "mqueue") return CLONE_NEWIPC;
  if (type == "proc") return CLONE_NEWPID;
  return 0;
}

base::Result<base::UniqueFd> MakeMount(const oci::Mount& mount, const MountOptions& options) {
  if (options.bind || mount.type == "bind") return CloneTree(mount.source, options.recursive_bind);
  if (mount.type == "cgroup" || mount.type == "cgroup2") return MakeCgroupMount(options);
  return NewFilesystem(mount.type, mount.source, options);
}

// A tmpfs whose options give no mode has that of the directory it covers, as under runc: the
// kernel's default, 1777, would open /run or /root to every user.
void KeepMode(base::BorrowedFd root, const oci::Mount& mount, MountOptions* options) {
  if (mount.type != "tmpfs" || options->bind) return;
  for (const auto& [key, value] : options->parameters) {
    if (key == "mode") return;
  }
  const base::Result<base::UniqueFd> covered =
      base::OpenInRoot(root, mount.destination, O_PATH | O_DIRECTORY);
  struct stat status {};
  if (!covered || fstat(covered->get(), &status) != 0) return;  // made with the mount
  options->parameters.emplace_back("mode", fmt::format("{:04o}", status.st_mode & 07777));
}

base::Result<void> ApplyMount(const MountContext& context, const oci::Mount& mount,
                              base::BorrowedFd made) {
  MountOptions options = TRY(ParseMountOptions(mount.options));
  if (options.copy_up) {
    return base::MakeError(base::Code::kUnimplemented, "mount option \"tmpcopyup\"");
  }
  if (mount.destination == "/dev") options.set &= ~kReadOnly;
  KeepMode(context.root, mount, &options);
  const bool bind = options.bind || mount.type == "bind";
  base::UniqueFd own;
  if (!made.valid()) own = TRY(MakeMount(mount, options));
  const base::BorrowedFd tree = made.valid() ? made : base::BorrowedFd(own);
  // A link at /proc or /sys would put them where the masked paths are not looked for.
  const bool no_links = mount.type == "proc" || mount.type == "sysfs";
  const PathKind kind = !bind || IsDirectory(tree) ? PathKind::kDirectory : PathKind::kFile;
  const base::UniqueFd target = TRY(no_links ? OpenOrCreateNoLinks(context.root, mount.destination)
                                             : OpenOrCreate(context.root, mount.destination, kind));
  TRY(CheckTarget(target, mount.destination));
  TRY(Attach(tree, target));
  if (bind) TRY(SetAttributes(tree, options.set, options.clear, 0, false));
  TRY(SetAttributes(tree, options.recursive_set, options.recursive_clear, 0, true));
  return SetAttributes(tree, 0, 0, options.propagation, options.recursive_propagation);
}

}  // namespace

base::Result<base::UniqueFd> NewFilesystem(const std::string& type, const std::string& source,
                                           const MountOptions& options) {
  base::UniqueFd context(fsopen(type.c_str(), FSOPEN_CLOEXEC));
  if (!context) return base::ErrnoError("file system \"{}\"", type);
  if (!source.empty()) TRY(Configure(context, type, "source", &source));
  for (const auto& [key, value] : options.parameters) TRY(Configure(context, type, key, &value));
  for (const std::string& flag : options.flags) TRY(Configure(context, type, flag, nullptr));
  if (fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    base::Error error = base::ErrnoError("make a {}", type);
    error.Push(__FILE__, __LINE__, "refused{}", ContextLog(context));
    return error;
  }
  base::UniqueFd mount(
      fsmount(context.get(), FSMOUNT_CLOEXEC, static_cast<unsigned int>(options.set)));
  if (!mount) return base::ErrnoError("mount a {}", type);
  return mount;
}

base::Result<base::UniqueFd> CloneTree(const std::string& source, bool recursive) {
  const unsigned int flags =
      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | (recursive ? AT_RECURSIVE : 0U);
  base::UniqueFd tree(open_tree(AT_FDCWD, source.c_str(), flags));
  if (!tree) return base::ErrnoError("bind source \"{}\"", source);
  return tree;
}

base::Result<base::UniqueFd> CloneTree(base::BorrowedFd source, bool recursive) {
  const unsigned int flags =
      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0U);
  base::UniqueFd tree(open_tree(source.get(), "", flags));
  if (!tree) return base::ErrnoError("copy a mount");
  return tree;
}

base::Result<void> Attach(base::BorrowedFd mount, base::BorrowedFd target) {
  if (move_mount(mount.get(), "", target.get(), "",
                 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return base::ErrnoError("attach a mount");
  }
  return base::Ok();
}

base::Result<void> SetAttributes(base::BorrowedFd mount, uint64_t set, uint64_t clear,
                                 uint64_t propagation, bool recursive) {
  if (set == 0 && clear == 0 && propagation == 0) return base::Ok();
  mount_attr attributes{};
  attributes.attr_set = set;
  attributes.attr_clr = clear;
  attributes.propagation = propagation;
  const unsigned int flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0U);
  if (mount_setattr(mount.get(), "", flags, &attributes, sizeof attributes) != 0) {
    return base::ErrnoError("set mount attributes {:#x}, clear {:#x}, propagation {:#x}", set,
                            clear, propagation);
  }
  return base::Ok();
}

base::Result<void> ApplyMounts(const MountContext& context, const std::vector<oci::Mount>& mounts) {
  for (size_t place = 0; place < mounts.size(); ++place) {
    const oci::Mount& mount = mounts[place];
    const auto made = context.made.find(place);
    TRY(ApplyMount(
            context, mount,
            made != context.made.end() ? base::BorrowedFd(made->second) : base::BorrowedFd()),
        "mount {} ({}) on \"{}\"", mount.source, mount.type, mount.destination);
  }
  return base::Ok();
}

base::Result<std::vector<MadeMount>> MakeMachineMounts(const NamespacePlan& namespaces,
                                                       const std::vector<oci::Mount>& mounts) {
  std::vector<MadeMount> made;
  if (!namespaces.HasNew(CLONE_NEWUSER)) return made;
  for (size_t place = 0; place < mounts.size(); ++place) {
    const oci::Mount& mount = mounts[place];
    const uint64_t shown = NamespaceShown(mount.type);
    if (shown == 0 || namespaces.HasNew(shown)) continue;
    const MountOptions options = TRY(ParseMountOptions(mount.options));
    base::UniqueFd tree =
        TRY(NewFilesystem(mount.type, mount.source, options), "mount {} ({}) on \"{}\"",
            mount.source, mount.type, mount.destination);
    made.push_back({place, std::move(tree)});
  }
  return made;
}

base::Result<void> FinishMounts(const MountContext& context,
                                const std::vector<oci::Mount>& mounts) {
  for (const oci::Mount& mount : mounts) {
    if (mount.destination != "/dev") continue;
    const MountOptions options = TRY(ParseMountOptions(mount.options));
    if ((options.set & kReadOnly) == 0) continue;
    const base::UniqueFd dev = TRY(OpenOrCreate(context.root, "/dev", PathKind::kDirectory));
    TRY(SetAttributes(dev, kReadOnly, 0, 0, false), "make /dev read-only");
  }
  return base::Ok();
}

}  // namespace agent
