#include "runtime/storage/mount_options.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace storage {
namespace {

struct FlagOption {
  std::string_view name;
  unsigned long set;
  unsigned long clear;
};

// OCI runtime-spec 1.2, config.md "Linux mount options"; mount(8) "FILESYSTEM-INDEPENDENT MOUNT
// OPTIONS".
constexpr FlagOption kFlagOptions[] = {
    {"async", 0, MS_SYNCHRONOUS},
    {"atime", 0, MS_NOATIME},
    {"defaults", 0, 0},
    {"dev", 0, MS_NODEV},
    {"diratime", 0, MS_NODIRATIME},
    {"dirsync", MS_DIRSYNC, 0},
    {"exec", 0, MS_NOEXEC},
    {"iversion", MS_I_VERSION, 0},
    {"lazytime", MS_LAZYTIME, 0},
    {"mand", MS_MANDLOCK, 0},
    {"noatime", MS_NOATIME, 0},
    {"nodev", MS_NODEV, 0},
    {"nodiratime", MS_NODIRATIME, 0},
    {"noexec", MS_NOEXEC, 0},
    {"noiversion", 0, MS_I_VERSION},
    {"nolazytime", 0, MS_LAZYTIME},
    {"nomand", 0, MS_MANDLOCK},
    {"norelatime", 0, MS_RELATIME},
    {"nostrictatime", 0, MS_STRICTATIME},
    {"nosuid", MS_NOSUID, 0},
    {"relatime", MS_RELATIME, 0},
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"silent", MS_SILENT, 0},
    {"strictatime", MS_STRICTATIME, 0},
    {"suid", 0, MS_NOSUID},
    {"sync", MS_SYNCHRONOUS, 0},
};

constexpr std::pair<std::string_view, unsigned long> kPropagation[] = {
    {"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE},
    {"shared", MS_SHARED},         {"rshared", MS_SHARED},
    {"slave", MS_SLAVE},           {"rslave", MS_SLAVE},
    {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE},
};

// Whether `option` is one of those that are no flag and no data.
bool TakeSpecial(std::string_view option, MountOptions* out) {
  if (option == "bind" || option == "rbind") {
    out->bind = true;
    out->recursive = out->recursive || option == "rbind";
    return true;
  }
  if (option == "rro") {
    out->read_only_recursive = true;
    return true;
  }
  if (option == "loop") {
    out->loop = true;
    return true;
  }
  for (const auto& [name, flag] : kPropagation) {
    if (option == name) {
      out->propagation = flag;
      return true;
    }
  }
  return option.empty() || option.starts_with("X-containerd.");
}

}  // namespace

base::Result<MountOptions> ParseMountOptions(const std::vector<std::string>& options) {
  MountOptions out;
  for (const std::string& option : options) {
    if (option.find('\0') != std::string::npos) {
      return base::MakeError(base::Code::kInvalidArgument, "mount option with a NUL character");
    }
    if (TakeSpecial(option, &out)) continue;
    const auto* const known = std::find_if(std::begin(kFlagOptions), std::end(kFlagOptions),
                                           [&](const FlagOption& f) { return f.name == option; });
    if (known != std::end(kFlagOptions)) {
      out.flags = (out.flags & ~known->clear) | known->set;
      continue;
    }
    if (!out.data.empty()) out.data += ',';
    out.data += option;
  }
  out.read_only = (out.flags & MS_RDONLY) != 0;
  return out;
}

}  // namespace storage
