#include "runtime/storage/rootfs.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <thread>
#include <vector>

#include "runtime/base/file.h"
#include "runtime/storage/bind.h"
#include "runtime/storage/mount_options.h"
#include "runtime/storage/unmount.h"

namespace storage {
namespace {

using base::Code;
using base::MakeError;

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// "key=" of the options of an overlay that hold paths, or empty.
std::string_view PathKey(std::string_view option) {
  for (const std::string_view key : {"lowerdir=", "upperdir=", "workdir="}) {
    if (option.starts_with(key)) return key;
  }
  return {};
}

// Applies `change` to each path in overlay's `data`. An escaped colon or comma ("\:") would be cut
// in the wrong place, so data with a backslash is left alone by the caller.
template <class Change>
std::string ForEachPath(const std::string& data, Change change) {
  std::string out;
  for (const std::string& option : Split(data, ',')) {
    if (!out.empty()) out += ',';
    const std::string_view key = PathKey(option);
    out += key;
    if (key.empty()) {
      out += option;
      continue;
    }
    bool first = true;
    for (const std::string& path : Split(std::string_view(option).substr(key.size()), ':')) {
      if (!first) out += ':';
      first = false;
      out += change(path);
    }
  }
  return out;
}

// mount(2) with the current directory set for this call alone: a thread that shares no fs_struct.
base::Result<void> MountFrom(const std::string& directory, const Mount& mount,
                             const std::string& target, unsigned long flags,
                             const std::string& data) {
  base::Result<void> result;
  std::thread([&] {
    if (unshare(CLONE_FS) != 0) {
      result = base::ErrnoError("unshare(CLONE_FS)");
    } else if (chdir(directory.c_str()) != 0) {
      result = base::ErrnoError("chdir {}", directory);
    } else if (::mount(mount.source.c_str(), target.c_str(), mount.type.c_str(), flags,
                       data.c_str()) != 0) {
      result = base::ErrnoError("mount {} from {} on {}", mount.type, mount.source, target);
    }
  }).join();
  return result;
}

base::Result<void> MountFileSystem(const Mount& mount, const MountOptions& options,
                                   const std::string& target) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  CompactData compact{{}, options.data};
  if (options.data.size() >= page && mount.type == "overlay") {
    compact = CompactOverlayData(options.data);
  }
  if (compact.data.size() >= page) {
    return MakeError(Code::kInvalidArgument, "mount {} on {}: {} bytes of options, below {} fit",
                     mount.type, target, compact.data.size(), page);
  }
  if (!compact.directory.empty()) {
    return MountFrom(compact.directory, mount, target, options.flags, compact.data);
  }
  if (::mount(mount.source.c_str(), target.c_str(), mount.type.c_str(), options.flags,
              compact.data.c_str()) != 0) {
    return base::ErrnoError("mount {} from {} on {}", mount.type, mount.source, target);
  }
  return base::Ok();
}

base::Result<void> MountOne(const Mount& mount, const std::string& rootfs) {
  const MountOptions options = TRY(ParseMountOptions(mount.options));
  if (options.loop) {
    return MakeError(Code::kUnimplemented, "mount {} from {}: loop devices are not supported yet",
                     mount.type, mount.source);
  }
  std::string target = rootfs;
  if (!mount.target.empty() && mount.target != "/") {
    if (("/" + mount.target + "/").find("/../") != std::string::npos) {
      return MakeError(Code::kInvalidArgument, "mount target {} leaves the rootfs", mount.target);
    }
    target += "/" + mount.target;
    TRY(base::MakeDirectories(target));
  }
  if (mount.type == "bind" || options.bind) {
    return AttachClone(mount.source, target,
                       {.recursive = options.recursive,
                        .read_only = options.read_only,
                        .read_only_recursive = options.read_only_recursive});
  }
  return MountFileSystem(mount, options, target);
}

}  // namespace

CompactData CompactOverlayData(const std::string& data) {
  const CompactData unchanged{{}, data};
  if (data.find('\\') != std::string::npos) return unchanged;
  std::string common;
  bool first = true;
  bool absolute = true;
  ForEachPath(data, [&](const std::string& path) {
    absolute = absolute && path.starts_with('/');
    if (first) {
      common = path;
    } else {
      const auto differ = std::mismatch(common.begin(), common.end(), path.begin(), path.end());
      common.erase(differ.first, common.end());
    }
    first = false;
    return path;
  });
  const size_t slash = common.rfind('/');
  if (first || !absolute || slash == 0 || slash == std::string::npos) return unchanged;
  common.resize(slash + 1);
  CompactData compact;
  compact.directory = common;
  compact.data =
      ForEachPath(data, [&](const std::string& path) { return path.substr(common.size()); });
  return compact;
}

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
