// containerd.runc.v1.Options.shim_cgroup: the cgroup that the daemon is to live in.
#pragma once

#include <sys/types.h>

#include <string>

#include "runtime/base/result.h"

namespace shim {

// Moves `pid` into the existing cgroup `path`, as below `root`: on v2 that one, on v1 the one of
// each hierarchy that has it. kNotFound if none has.
base::Result<void> EnterShimCgroup(const std::string& path, pid_t pid,
                                   const std::string& root = "/sys/fs/cgroup");

}  // namespace shim
