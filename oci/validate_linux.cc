#include <fmt/format.h>

#include <initializer_list>
#include <set>

#include "oci/validate.h"

namespace oci {
namespace {

bool IsOneOf(std::string_view value, std::initializer_list<std::string_view> allowed) {
  for (const std::string_view candidate : allowed) {
    if (value == candidate) return true;
  }
  return false;
}

base::Result<void> ValidateNamespaces(const std::vector<Namespace>& namespaces) {
  std::set<std::string_view> seen;
  for (size_t i = 0; i < namespaces.size(); ++i) {
    const std::string path = fmt::format("linux.namespaces[{}]", i);
    const std::string& type = namespaces[i].type;
    if (!IsOneOf(type, {"pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"})) {
      return RuleError(path + ".type", type, "no namespace type of the specification");
    }
    if (!seen.insert(type).second) return RuleError(path + ".type", type, "given twice");
    if (!namespaces[i].path.empty()) TRY(RequireAbsolute(path + ".path", namespaces[i].path));
  }
  return base::Ok();
}

base::Result<void> ValidateDevices(const std::vector<Device>& devices) {
  for (size_t i = 0; i < devices.size(); ++i) {
    const std::string path = fmt::format("linux.devices[{}]", i);
    TRY(RequireAbsolute(path + ".path", devices[i].path));
    if (!IsOneOf(devices[i].type, {"c", "b", "u", "p"})) {
      return RuleError(path + ".type", devices[i].type, "must be c, b, u or p");
    }
    if (devices[i].type == "p") continue;
    if (devices[i].major < 0 || devices[i].minor < 0) {
      return RuleError(path, fmt::format("{}:{}", devices[i].major, devices[i].minor),
                       "major and minor must be given and not negative");
    }
  }
  return base::Ok();
}

base::Result<void> ValidateTimeOffsets(const LinuxConfig& config) {
  for (const auto& [clock, offset] : config.time_offsets) {
    const std::string path = "linux.timeOffsets." + clock;
    if (!IsOneOf(clock, {"monotonic", "boottime"})) {
      return RuleError("linux.timeOffsets", clock, "no clock that a time namespace offsets");
    }
    // time_namespaces(7)
    if (offset.nanosecs >= 1'000'000'000) {
      return RuleError(path + ".nanosecs", std::to_string(offset.nanosecs), "a second or more");
    }
  }
  return base::Ok();
}

base::Result<void> ValidateAbsolutePaths(const std::vector<std::string>& paths, const char* name) {
  for (size_t i = 0; i < paths.size(); ++i) {
    TRY(RequireAbsolute(fmt::format("linux.{}[{}]", name, i), paths[i]));
  }
  return base::Ok();
}

bool IsSeccompAction(std::string_view action) {
  return IsOneOf(action, {"SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
                          "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW",
                          "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY"});
}

}  // namespace

base::Result<void> ValidateSeccomp(const Seccomp& seccomp) {
  if (!IsSeccompAction(seccomp.default_action)) {
    return RuleError("linux.seccomp.defaultAction", seccomp.default_action, "no action");
  }
  if (!seccomp.listener_path.empty()) {
    TRY(RequireAbsolute("linux.seccomp.listenerPath", seccomp.listener_path));
  } else if (!seccomp.listener_metadata.empty()) {
    return RuleError("linux.seccomp.listenerMetadata", seccomp.listener_metadata,
                     "must not be set without listenerPath");
  }
  for (size_t i = 0; i < seccomp.syscalls.size(); ++i) {
    const SeccompRule& rule = seccomp.syscalls[i];
    const std::string path = fmt::format("linux.seccomp.syscalls[{}]", i);
    if (rule.names.empty()) return RuleError(path + ".names", "", "must have at least one entry");
    if (!IsSeccompAction(rule.action)) return RuleError(path + ".action", rule.action, "no action");
    for (size_t j = 0; j < rule.args.size(); ++j) {
      const std::string argument = fmt::format("{}.args[{}]", path, j);
      if (rule.args[j].index > 5) {
        return RuleError(argument + ".index", std::to_string(rule.args[j].index),
                         "a system call has six arguments, 0 … 5");
      }
      if (!IsOneOf(rule.args[j].op, {"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ",
                                     "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"})) {
        return RuleError(argument + ".op", rule.args[j].op, "no comparison");
      }
    }
  }
  return base::Ok();
}

base::Result<void> ValidateLinux(const LinuxConfig& config) {
  TRY(ValidateNamespaces(config.namespaces));
  TRY(ValidateDevices(config.devices));
  TRY(ValidateResources(config.resources));
  if (config.seccomp) TRY(ValidateSeccomp(*config.seccomp));
  TRY(ValidateAbsolutePaths(config.masked_paths, "maskedPaths"));
  TRY(ValidateAbsolutePaths(config.readonly_paths, "readonlyPaths"));
  TRY(ValidateTimeOffsets(config));
  // The clause names the four; runc and containerd have always sent the recursive ones too.
  if (!IsOneOf(config.rootfs_propagation, {"", "shared", "slave", "private", "unbindable",
                                           "rshared", "rslave", "rprivate", "runbindable"})) {
    return RuleError("linux.rootfsPropagation", config.rootfs_propagation,
                     "must be shared, slave, private or unbindable");
  }
  if (config.personality && !IsOneOf(config.personality->domain, {"LINUX", "LINUX32"})) {
    return RuleError("linux.personality.domain", config.personality->domain,
                     "must be LINUX or LINUX32");
  }
  if (config.sysctl.contains("")) return RuleError("linux.sysctl", "", "a key must not be empty");
  return base::Ok();
}

}  // namespace oci
