#include "runtime/cpu/core_scheduling.h"

#include <linux/prctl.h>
#include <sys/prctl.h>

#include <cerrno>

namespace cpu {

base::Result<CoreCookie> GiveCoreCookie(pid_t process) {
  constexpr unsigned long kAddress = 0;  // used by PR_SCHED_CORE_GET only
  if (prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, process, PR_SCHED_CORE_SCOPE_THREAD_GROUP,
            kAddress) == 0) {
    return CoreCookie::kGiven;
  }
  if (errno == ENODEV) return CoreCookie::kNotNeeded;
  // What prctl says of an option that it does not know; our arguments are right by construction.
  if (errno == EINVAL) return CoreCookie::kUnavailable;
  return base::ErrnoError("prctl PR_SCHED_CORE for process {}", process);
}

}  // namespace cpu
