#include "runtime/storage/mount_options.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "runtime/storage/split.h"

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

base::Result<uint32_t> ParseId(std::string_view text) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return base::MakeError(base::Code::kInvalidArgument, "\"{}\" is no id", text);
  }
  return id;
}

base::Result<std::vector<base::IdMapping>> ParseIdMappings(std::string_view text) {
  std::vector<base::IdMapping> mappings;
  for (const std::string& entry : Split(text, ',')) {
    const std::vector<std::string> part = Split(entry, ':');
    if (part.size() != 3) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "\"{}\": container-id:host-id:size is wanted", entry);
    }
    base::IdMapping mapping;
    mapping.container_id = TRY(ParseId(part[0]));
    mapping.host_id = TRY(ParseId(part[1]));
    mapping.size = TRY(ParseId(part[2]));
    mappings.push_back(mapping);
  }
  return mappings;
}

// Whether `option` gives mappings, which are taken then.
base::Result<bool> TakeIdMap(std::string_view option, base::IdMap* map) {
  const std::string_view key = option.substr(0, std::min(option.size(), size_t{7}));
  if (key != "uidmap=" && key != "gidmap=") return false;
  (key == "uidmap=" ? map->uids : map->gids) = TRY(ParseIdMappings(option.substr(7)), "{}", option);
  return true;
}

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
  if (option == "idmap" || option == "ridmap") {
    out->id_mapped = true;
    out->id_map_recursive = option == "ridmap";
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
    if (TRY(TakeIdMap(option, &out.id_map))) continue;
    const auto* const known = std::find_if(std::begin(kFlagOptions), std::end(kFlagOptions),
                                           [&](const FlagOption& f) { return f.name == option; });
    if (known != std::end(kFlagOptions)) {
      out.flags = (out.flags & ~known->clear) | known->set;
      continue;
    }
    if (!out.data.empty()) out.data += ',';
    out.data += option;
  }
  if (out.id_map.uids.empty() != out.id_map.gids.empty()) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "uidmap and gidmap must be given together");
  }
  out.read_only = (out.flags & MS_RDONLY) != 0;
  return out;
}

}  // namespace storage
