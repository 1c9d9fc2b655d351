// A container's root, from a directory of the agent to "/" of the container.
//
// Thread rule: changes the caller's mount namespace; only the container's init calls, in this
// order.
#pragma once

#include <string>

#include "oci/spec.h"
#include "runtime/agent/mounts.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

// Cuts the mount namespace off from the agent's and makes `path` a mount, which pivot_root wants.
base::Result<base::UniqueFd> OpenRootfs(const std::string& path);
// Covers masked paths and makes readonly paths so. From outside, while /dev/null is still the
// agent's: the container's may be anything. Paths that do not exist are skipped.
base::Result<void> HidePaths(base::BorrowedFd root, const oci::LinuxConfig& linux_config);
// Makes `root` "/", and leaves nothing of the agent's mounts.
base::Result<void> EnterRootfs(base::BorrowedFd root);
// rootfsPropagation and readonly, of the "/" entered.
base::Result<void> FinishRootfs(const oci::Spec& spec);

}  // namespace agent
