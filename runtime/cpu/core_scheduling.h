// Core scheduling: while a thread of a process with a cookie runs on a core, the core's other
// hardware threads run threads with the same cookie only, or nothing. A pod's guest thus shares no
// core, at any one moment, with another pod's or the host's: what hardware threads leak to each
// other (L1TF, MDS) stays in the pod.
//
// Source: prctl(2), PR_SCHED_CORE; Linux Documentation/admin-guide/hw-vuln/core-scheduling.rst.
// Thread rule: reentrant.
#pragma once

#include <sys/types.h>

#include "runtime/base/result.h"

namespace cpu {

enum class CoreCookie {
  kGiven,
  kNotNeeded,    // no core of this host runs more than one thread
  kUnavailable,  // a kernel before 5.14, or without CONFIG_SCHED_CORE
};

// Gives every thread of `process`, and those it will make, one new cookie. kNotFound if there is no
// such process, kPermissionDenied without ptrace access to it.
base::Result<CoreCookie> GiveCoreCookie(pid_t process);

}  // namespace cpu
