// Which devices a container may use: linux.resources.devices as an eBPF program on its cgroup.
// OCI runtime-spec 1.2, config-linux.md "Allowed Device list"; Linux
// Documentation/admin-guide/cgroup-v2.rst, "Device controller".
//
// Thread rule: reentrant.
#pragma once

#include <linux/bpf.h>

#include <vector>

#include "oci/spec.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

// For each bit of access the last rule that names the device decides; without one it is denied.
// Behind the spec's rules come those that runc adds: every mknod, and the default devices.
std::vector<bpf_insn> CompileDeviceRules(const std::vector<oci::DeviceRule>& rules);

// Whether the rules allow every access to every device, so that no program is needed.
bool AllowsAllDevices(const std::vector<oci::DeviceRule>& rules);

// Puts the rules in force on `cgroup`, in place of `before`, the program that this returned for
// that cgroup earlier (invalid: none). kFailedPrecondition if the kernel has no such programs.
base::Result<base::UniqueFd> AttachDeviceRules(base::BorrowedFd cgroup,
                                               const std::vector<oci::DeviceRule>& rules,
                                               base::BorrowedFd before);

}  // namespace agent
