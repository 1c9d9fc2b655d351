// Network namespaces: opening one by its path, making one, running code in one.
// Thread rule: reentrant; blocks.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace network {

// kInvalidArgument if `path` is something else.
base::Result<base::UniqueFd> OpenNamespace(const std::string& path);
// A new one, with nothing in it but a loopback device that is down.
base::Result<base::UniqueFd> MakeNamespace();
// The caller's own.
base::Result<base::UniqueFd> OwnNamespace();
// Tells one namespace from another for as long as the machine runs.
base::Result<ino_t> IdentityOf(base::BorrowedFd ns);

// Runs `work` on a thread of its own in namespace `ns`, and waits for it: the thread ends with it,
// so that no failure can leave the caller's in a namespace that is not its own.
base::Result<void> RunIn(base::BorrowedFd ns, const std::function<base::Result<void>()>& work);

}  // namespace network
