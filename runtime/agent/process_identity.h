// Who a container's process is: user, groups, capabilities, limits, working directory.
// OCI runtime-spec 1.2, config.md "Process". Thread rule: acts on the calling, only thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "oci/spec.h"
#include "runtime/base/result.h"

namespace agent {

base::Result<void> SetResourceLimits(const std::vector<oci::Rlimit>& limits);

// HOME from the container's /etc/passwd, "/" without an entry. runc adds it when the spec has none,
// and images rely on it.
std::string HomeDirectory(uid_t uid, const std::string& passwd_text);

// Makes the working directory if it is missing, as root, while that may still be done.
void MakeWorkingDirectory(const std::string& cwd);

// From root with all capabilities to what `process` says, in the only order that works:
// bounding set, groups, gid, uid (capabilities kept), working directory, the other four sets.
base::Result<void> BecomeUser(const oci::Process& process);

}  // namespace agent
