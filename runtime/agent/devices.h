// The device nodes and links of a container's /dev. OCI runtime-spec 1.2, config-linux.md "Default
// Devices" and "Devices"; runtime-linux.md "Dev symbolic links".
//
// Thread rule: reentrant; called by the container's init before it changes its root.
#pragma once

#include <vector>

#include "oci/spec.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

// The default nodes, `devices`, and the links fd, stdin, stdout, stderr, ptmx (and core). Where
// mknod(2) is of no use (no permission, a nodev mount) the guest's own node is bound there.
base::Result<void> CreateDevices(base::BorrowedFd root, const std::vector<oci::Device>& devices);

// The links alone. What is there already stays.
base::Result<void> MakeDeviceLinks(base::BorrowedFd root);

}  // namespace agent
