// Who started whom, as /proc tells it. Thread rule: reentrant.
#pragma once

#include <sys/types.h>

#include <vector>

namespace base {

// The processes that any thread of `pid` has started and that have not been reaped. None if it has
// gone. proc(5), "/proc/pid/task/tid/children": needs CONFIG_PROC_CHILDREN, which every
// distribution has; exact only while none of them ends, so that what it names may have gone.
std::vector<pid_t> ChildrenOf(pid_t pid);

}  // namespace base
