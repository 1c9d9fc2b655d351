// What PID 1 makes of a machine that has just entered user space. Thread rule: bound to the agent's
// only thread, before it serves anybody.
#pragma once

#include "runtime/base/result.h"

namespace agent {

inline constexpr char kShareRoot[] = "/run/pinion/share";  // where the host's files appear
inline constexpr char kShareTag[] = "pinion";              // virtio-fs tag
inline constexpr char kCgroupRoot[] = "/sys/fs/cgroup";
// Modules that are loaded for the first container that may manage networks.
inline constexpr char kNetworkModules[] = "/modules/network";

// A root of its own on tmpfs, the usual file systems below it, kernel modules, cgroup controllers,
// lo, and the host's share. What fails is told to the kernel log and left out, so that the host
// still hears of a half-working guest; only a failed change of root is an error.
base::Result<void> BootGuest();

// Makes every controller that `cgroup_directory` has available to its children.
base::Result<void> EnableControllers(const std::string& cgroup_directory);

}  // namespace agent
