#include "runtime/storage/overlay.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <thread>
#include <vector>

#include "runtime/base/file.h"
#include "runtime/storage/bind.h"
#include "runtime/storage/split.h"

namespace storage {
namespace {

using base::Code;
using base::MakeError;

constexpr std::string_view kLowerKey = "lowerdir=";

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

base::Result<void> Mount(const std::string& source, const std::string& target, unsigned long flags,
                         const std::string& data) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (data.size() >= page) {
    return MakeError(Code::kInvalidArgument,
                     "mount overlay on {}: {} bytes of options, below {} fit", target, data.size(),
                     page);
  }
  if (mount(source.c_str(), target.c_str(), "overlay", flags, data.c_str()) != 0) {
    return base::ErrnoError("mount overlay from {} on {}", source, target);
  }
  return base::Ok();
}

// `work` on a thread of its own, which shares neither current directory nor, with CLONE_NEWNS,
// mounts with the others.
template <class Work>
base::Result<void> Apart(int flags, Work work) {
  base::Result<void> result;
  std::thread([&] {
    result = unshare(flags) == 0 ? work() : base::ErrnoError("unshare {:#x}", flags);
  }).join();
  return result;
}

base::Result<void> Enter(const std::string& directory) {
  if (chdir(directory.c_str()) != 0) return base::ErrnoError("chdir {}", directory);
  return base::Ok();
}

// Replaces the lower layers in `data` by mapped clones, attached as 0, 1, ... in the current
// directory.
base::Result<std::string> MapLowerLayers(const std::string& data, const base::IdMap& id_map) {
  std::string mapped;
  for (const std::string& option : Split(data, ',')) {
    if (!mapped.empty()) mapped += ',';
    if (!option.starts_with(kLowerKey)) {
      mapped += option;
      continue;
    }
    mapped += kLowerKey;
    int layer = 0;
    for (const std::string& path : Split(std::string_view(option).substr(kLowerKey.size()), ':')) {
      const std::string name = std::to_string(layer);
      TRY(base::MakeDirectories(name));
      TRY(AttachClone(path, name, {.recursive = false, .id_map = id_map}), "lower layer");
      mapped += layer++ == 0 ? name : ":" + name;
    }
  }
  return mapped;
}

// The overlay, detached. Its layers stay the kernel's own; where they were attached is gone with
// the thread.
base::Result<base::UniqueFd> MakeMappedOverlay(const std::string& source, const std::string& target,
                                               const MountOptions& options) {
  base::UniqueFd overlay;
  const auto make = [&]() -> base::Result<void> {
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("pinion", target.c_str(), "tmpfs", 0, "mode=0700,size=1m") != 0) {
      return base::ErrnoError("a place for mapped layers at {}", target);
    }
    TRY(Enter(target));
    const std::string data = TRY(MapLowerLayers(options.data, options.id_map));
    TRY(Mount(source, target, options.flags, data));
    overlay = TRY(CloneTree(target, {.recursive = false}));
    return base::Ok();
  };
  TRY(Apart(CLONE_FS | CLONE_NEWNS, make));
  return overlay;
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

base::Result<void> MountOverlay(const std::string& source, const std::string& target,
                                const MountOptions& options) {
  if (!options.id_map.empty()) {
    if (options.data.find('\\') != std::string::npos) {
      return MakeError(Code::kUnimplemented, "overlay on {}: escaped layers with ids mapped",
                       target);
    }
    const base::UniqueFd overlay = TRY(MakeMappedOverlay(source, target, options));
    return AttachTree(overlay, target);
  }
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (options.data.size() < page) return Mount(source, target, options.flags, options.data);
  const CompactData compact = CompactOverlayData(options.data);
  if (compact.directory.empty()) return Mount(source, target, options.flags, compact.data);
  return Apart(CLONE_FS, [&]() -> base::Result<void> {
    TRY(Enter(compact.directory));
    return Mount(source, target, options.flags, compact.data);
  });
}

}  // namespace storage
