// The terminal of a container's process, from the container's own devpts.
// Thread rule: reentrant; called by a container's process inside its root.
#pragma once

#include "oci/spec.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

// Whether the terminal becomes the container's /dev/console: that of its init alone does.
enum class Console { kLeave, kShow };

// Makes a terminal of /dev/pts, owned by the process' user, as the controlling terminal and as 0, 1
// and 2 of the caller (a session leader). Returns the master.
base::Result<base::UniqueFd> OpenTerminal(const oci::Process& process, Console console);

// TIOCSWINSZ on a master.
base::Result<void> ResizeTerminal(base::BorrowedFd master, uint32_t columns, uint32_t rows);

}  // namespace agent
