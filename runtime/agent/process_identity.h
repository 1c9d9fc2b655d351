// Who a container's process is: user, groups, capabilities, limits, working directory.
// OCI runtime-spec 1.2, config.md "Process". Thread rule: acts on the calling, only thread, where
// it does not name a process.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "oci/spec.h"
#include "runtime/base/result.h"

namespace agent {

// By the agent, while the process has the agent's user still: nobody in a user namespace has the
// right to raise a hard limit.
base::Result<void> SetResourceLimits(pid_t pid, const std::vector<oci::Rlimit>& limits);

// HOME from the container's /etc/passwd, "/" without an entry. runc adds it when the spec has none,
// and images rely on it.
std::string HomeDirectory(uid_t uid, const std::string& passwd_text);

// Makes the working directory if it is missing, as root, while that may still be done.
void MakeWorkingDirectory(const std::string& cwd);

// By the first process of a user namespace, or one that has joined it: its root, from the user
// that the agent's is there, which is nobody.
base::Result<void> BecomeRootOfUserNamespace();

// From root with all capabilities to what `process` says, in the only order that works:
// bounding set, groups, gid, uid (capabilities kept), working directory, the other four sets.
base::Result<void> BecomeUser(const oci::Process& process);

}  // namespace agent
