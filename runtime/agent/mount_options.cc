#include "runtime/agent/mount_options.h"

#include <sys/mount.h>

#include <string_view>

namespace agent {
namespace {

struct AttributeOption {
  std::string_view name;
  uint64_t set;
  uint64_t clear;
};

// Access-time modes are one field of several bits, so choosing one clears the field first
// (mount_setattr(2), "MOUNT_ATTR__ATIME").
constexpr AttributeOption kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
};

struct PropagationOption {
  std::string_view name;
  uint64_t propagation;
};

// Each has a recursive twin with an "r" before it.
constexpr PropagationOption kPropagations[] = {
    {"private", MS_PRIVATE},
    {"shared", MS_SHARED},
    {"slave", MS_SLAVE},
    {"unbindable", MS_UNBINDABLE},
};

// Words of mount(8) and fstab(5) that ask for nothing here.
constexpr std::string_view kIgnored[] = {"defaults", "async", "auto",  "noauto",
                                         "nouser",   "loud",  "silent"};

const AttributeOption* FindAttribute(std::string_view name) {
  for (const AttributeOption& row : kAttributes) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

bool TakeAttribute(std::string_view option, MountOptions& out) {
  if (const AttributeOption* row = FindAttribute(option)) {
    // The last of two that contradict each other wins, as with mount(8).
    out.set = (out.set & ~row->clear) | row->set;
    out.clear = (out.clear & ~row->set) | row->clear;
    return true;
  }
  // No attribute's own name is another one's with an "r" before it, "rw" and "ro" included.
  if (!option.starts_with('r')) return false;
  const AttributeOption* row = FindAttribute(option.substr(1));
  if (row == nullptr) return false;
  out.recursive_set = (out.recursive_set & ~row->clear) | row->set;
  out.recursive_clear = (out.recursive_clear & ~row->set) | row->clear;
  return true;
}

bool TakePropagation(std::string_view option, MountOptions& out) {
  for (const PropagationOption& row : kPropagations) {
    const bool recursive = option.starts_with('r') && option.substr(1) == row.name;
    if (!recursive && option != row.name) continue;
    out.propagation = row.propagation;
    out.recursive_propagation = recursive;
    return true;
  }
  return false;
}

bool Ignored(std::string_view option) {
  for (const std::string_view word : kIgnored) {
    if (word == option) return true;
  }
  return option.empty();
}

}  // namespace

bool MountOptions::read_only() const {
  return ((set | recursive_set) & static_cast<uint64_t>(MOUNT_ATTR_RDONLY)) != 0;
}

base::Result<MountOptions> ParseMountOptions(const std::vector<std::string>& options) {
  MountOptions out;
  for (const std::string& option : options) {
    if (option == "bind" || option == "rbind") {
      out.bind = true;
      out.recursive_bind = out.recursive_bind || option == "rbind";
    } else if (option == "tmpcopyup") {
      out.copy_up = true;
    } else if (option == "idmap" || option == "ridmap") {
      return base::MakeError(base::Code::kUnimplemented, "mount option \"{}\"", option);
    } else if (Ignored(option) || TakeAttribute(option, out) || TakePropagation(option, out)) {
      continue;
    } else if (const size_t equals = option.find('='); equals != std::string::npos) {
      out.parameters.emplace_back(option.substr(0, equals), option.substr(equals + 1));
    } else {
      out.flags.push_back(option);
    }
  }
  return out;
}

}  // namespace agent
