// How pinion-vmm gives up everything that it does not need, for ever.
//
//   spawned by the shim (root, new pid, mount, network, IPC, UTS and cgroup namespaces)
//     └► EnterJail ─► configure the machine ─► ApplyDeviceFilter; ApplyVcpuFilter on each vCPU
//     thread
//
// Thread rule: EnterJail while there is one thread; the filters are per thread, callable from any.
#pragma once

#include <sys/types.h>

#include "runtime/base/result.h"

namespace vmm::jail {

// First thing in main. After it: an empty read-only root, no descriptor above `highest_fd`, no
// capability in any set, the given ids, no supplementary group, no way to gain privileges, no core
// file, not traceable by its own uid. Needs root. kInvalidArgument for id 0: that would be no jail.
//
// RLIMIT_FSIZE stays as it is: it also bounds a memfd, which guest memory is, and a disk image, and
// a process that cannot open a file has none to grow.
base::Result<void> EnterJail(uid_t uid, gid_t gid, int highest_fd = 3);

// From now on the calling thread, and those that it creates, make the system calls of the policy
// (policy.h) and no other. A forbidden call is not made: the process writes a line with its number
// to descriptor 2 and exits with status 159. (SIGSYS rather than death on the spot, because a jail
// that is too tight is else impossible to tell from a crash; the call is stopped as well, and the
// handler cannot be replaced, since rt_sigaction is forbidden.)
base::Result<void> ApplyVcpuFilter();
base::Result<void> ApplyDeviceFilter();

inline constexpr int kViolationStatus = 159;  // 128 + SIGSYS

}  // namespace vmm::jail
