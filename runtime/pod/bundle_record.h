// What a container's bundle tells of its init, for `delete` after the shim's death:
//
//   <bundle>/init.pid     the pid that containerd was told, as runc's shim writes it
//   <bundle>/pinion-exit  "<status> <exited at, ns since 1970> <pid>", once it has ended
//
// Thread rule: reentrant; a small file each, on containerd's tmpfs as a rule, without fsync.
#pragma once

#include <sys/types.h>

#include <string>

#include "runtime/base/result.h"
#include "runtime/pod/pod.h"

namespace pod {

inline constexpr const char* kInitPidFile = "init.pid";
inline constexpr const char* kExitFile = "pinion-exit";

// For a new init: the exit of one that had this bundle before is removed.
base::Result<void> RecordInit(const std::string& bundle, pid_t pid);
base::Result<void> RecordExit(const std::string& bundle, const ExitInfo& exit);

// `otherwise`, with what the bundle knows better; that is how one ends of which nothing was
// recorded but its pid. Files that are not as written here are passed over, with a warning in the
// log.
DeleteInfo InfoFromBundle(const std::string& bundle, const DeleteInfo& otherwise);

}  // namespace pod
