#include "oci/clause.h"

namespace oci {
namespace {

struct Entry {
  std::string_view prefix;
  std::string_view clause;
};

#define CONFIG(title) "OCI runtime-spec 1.2, config.md \"" title "\""
#define CONFIG_LINUX(title) "OCI runtime-spec 1.2, config-linux.md \"" title "\""

// Longer prefixes first.
constexpr Entry kClauses[] = {
    {"linux.resources.devices", CONFIG_LINUX("Allowed Device list")},
    {"linux.resources.memory", CONFIG_LINUX("Memory")},
    {"linux.resources.cpu", CONFIG_LINUX("CPU")},
    {"linux.resources.pids", CONFIG_LINUX("PIDs")},
    {"linux.resources.blockIO", CONFIG_LINUX("Block IO")},
    {"linux.resources.hugepageLimits", CONFIG_LINUX("Huge page limits")},
    {"linux.resources.network", CONFIG_LINUX("Network")},
    {"linux.resources.rdma", CONFIG_LINUX("RDMA")},
    {"linux.resources.unified", CONFIG_LINUX("Unified")},
    {"linux.resources", CONFIG_LINUX("Control groups")},
    {"linux.cgroupsPath", CONFIG_LINUX("Cgroups Path")},
    {"linux.uidMappings", CONFIG_LINUX("User namespace mappings")},
    {"linux.gidMappings", CONFIG_LINUX("User namespace mappings")},
    {"linux.timeOffsets", CONFIG_LINUX("Offset for Time Namespace")},
    {"linux.namespaces", CONFIG_LINUX("Namespaces")},
    {"linux.devices", CONFIG_LINUX("Devices")},
    {"linux.sysctl", CONFIG_LINUX("Sysctl")},
    {"linux.seccomp", CONFIG_LINUX("Seccomp")},
    {"linux.rootfsPropagation", CONFIG_LINUX("Rootfs Mount Propagation")},
    {"linux.maskedPaths", CONFIG_LINUX("Masked Paths")},
    {"linux.readonlyPaths", CONFIG_LINUX("Readonly Paths")},
    {"linux.mountLabel", CONFIG_LINUX("Mount Label")},
    {"linux.intelRdt", CONFIG_LINUX("IntelRdt")},
    {"linux.personality", CONFIG_LINUX("Personality")},
    {"linux", CONFIG("Platform-specific configuration")},
    {"process.user", CONFIG("User")},
    {"process.scheduler", CONFIG("Process")},
    {"process", CONFIG("Process")},
    {"root", CONFIG("Root")},
    {"mounts", CONFIG("Mounts")},
    {"hostname", CONFIG("Hostname")},
    {"domainname", CONFIG("Domainname")},
    {"hooks", CONFIG("POSIX-platform Hooks")},
    {"annotations", CONFIG("Annotations")},
    {"ociVersion", CONFIG("Specification version")},
};

#undef CONFIG
#undef CONFIG_LINUX

bool IsAtOrBelow(std::string_view path, std::string_view prefix) {
  if (!path.starts_with(prefix)) return false;
  return path.size() == prefix.size() || path[prefix.size()] == '.' || path[prefix.size()] == '[';
}

}  // namespace

std::string_view ClauseOfPath(std::string_view path) {
  for (const Entry& entry : kClauses) {
    if (IsAtOrBelow(path, entry.prefix)) return entry.clause;
  }
  return "OCI runtime-spec 1.2, config.md";
}

std::string_view ClauseOfProcessPath(std::string_view path) {
  return IsAtOrBelow(path, "user") ? ClauseOfPath("process.user") : ClauseOfPath("process");
}

}  // namespace oci
