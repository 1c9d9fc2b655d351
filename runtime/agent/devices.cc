#include "runtime/agent/devices.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "oci/default_devices.h"
#include "runtime/agent/mounts.h"
#include "runtime/agent/rooted_path.h"

namespace agent {
namespace {

struct Node {
  std::string path;
  mode_t type;
  dev_t number;
  mode_t permissions;
  uid_t uid;
  gid_t gid;
};

struct Link {
  const char* path;
  const char* target;
};

constexpr Link kLinks[] = {
    {"/dev/fd", "/proc/self/fd"},       {"/dev/stdin", "/proc/self/fd/0"},
    {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"},
    {"/dev/ptmx", "pts/ptmx"},
};

bool IsDefault(dev_t number) {
  return std::any_of(std::begin(oci::kDefaultDevices), std::end(oci::kDefaultDevices),
                     [number](const oci::DefaultDevice& row) {
                       return number == makedev(row.major_number, row.minor_number);
                     });
}

bool MountedNodev(base::BorrowedFd directory) {
  struct statvfs status {};
  return fstatvfs(directory.get(), &status) == 0 && (status.f_flag & ST_NODEV) != 0;
}

base::Result<void> BindNode(base::BorrowedFd root, const Node& node) {
  const base::UniqueFd target = TRY(OpenOrCreate(root, node.path, PathKind::kFile));
  const base::UniqueFd source = TRY(CloneTree(node.path, false));
  return Attach(source, target);
}

base::Result<void> MakeNode(base::BorrowedFd root, const Node& node) {
  const ParentAndName place = TRY(OpenParent(root, node.path));
  const bool node_works = node.type == S_IFIFO || !MountedNodev(place.parent);
  if (!node_works) return BindNode(root, node);
  const char* name = place.name.c_str();
  if (mknodat(place.parent.get(), name, node.type | node.permissions, node.number) != 0) {
    if (errno == EPERM) return BindNode(root, node);
    if (errno != EEXIST) return base::ErrnoError("mknod");
    // A volume may bring its own node; what is no such node is not to be taken for it.
    struct stat status {};
    const bool there = fstatat(place.parent.get(), name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    // Bound by the user, who may have /dev/urandom in the place of /dev/random.
    if (there && S_ISCHR(status.st_mode) && IsDefault(node.number) && IsDefault(status.st_rdev)) {
      return base::Ok();
    }
    if (!there || (status.st_mode & S_IFMT) != node.type || status.st_rdev != node.number) {
      return base::MakeError(base::Code::kFailedPrecondition, "something else is there");
    }
  }
  if (fchownat(place.parent.get(), name, node.uid, node.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return base::ErrnoError("chown");
  }
  // mknod's mode went through the umask. fchmodat follows links: the name was made or checked
  // above, and nothing of the container runs yet.
  if (fchmodat(place.parent.get(), name, node.permissions, 0) != 0) {
    return base::ErrnoError("chmod");
  }
  return base::Ok();
}

base::Result<Node> FromSpec(const oci::Device& device) {
  mode_t type = 0;
  if (device.type == "c" || device.type == "u") type = S_IFCHR;
  if (device.type == "b") type = S_IFBLK;
  if (device.type == "p") type = S_IFIFO;
  if (type == 0) {
    return base::MakeError(base::Code::kInvalidArgument, "type \"{}\": c, u, b or p is wanted",
                           device.type);
  }
  const dev_t number = type == S_IFIFO ? 0
                                       : makedev(static_cast<unsigned int>(device.major),
                                                 static_cast<unsigned int>(device.minor));
  return Node{device.path,
              type,
              number,
              static_cast<mode_t>(device.file_mode.value_or(0666)) & 07777,
              device.uid.value_or(0),
              device.gid.value_or(0)};
}

base::Result<void> MakeLink(base::BorrowedFd root, const Link& link) {
  const ParentAndName place = TRY(OpenParent(root, link.path));
  // EEXIST: a /dev of the image's or the user's own keeps what it has.
  if (symlinkat(link.target, place.parent.get(), place.name.c_str()) != 0 && errno != EEXIST) {
    return base::ErrnoError("link {}", link.path);
  }
  return base::Ok();
}

}  // namespace

base::Result<void> MakeDeviceLinks(base::BorrowedFd root) {
  for (const Link& link : kLinks) TRY(MakeLink(root, link));
  return base::Ok();
}

base::Result<void> CreateDevices(base::BorrowedFd root, const std::vector<oci::Device>& devices) {
  const mode_t umask_before = umask(0);
  const auto make_all = [&]() -> base::Result<void> {
    for (const oci::DefaultDevice& row : oci::kDefaultDevices) {
      const dev_t number = makedev(row.major_number, row.minor_number);
      const Node node{row.path, S_IFCHR, number, 0666, 0, 0};
      TRY(MakeNode(root, node), "device {}", row.path);
    }
    for (const oci::Device& device : devices) {
      const Node node = TRY(FromSpec(device), "device {}", device.path);
      TRY(MakeNode(root, node), "device {}", device.path);
    }
    return MakeDeviceLinks(root);
  };
  base::Result<void> result = make_all();
  umask(umask_before);
  return result;
}

}  // namespace agent
