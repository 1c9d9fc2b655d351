// `containerd-shim-pinion-v2 start` and `delete`: short-lived calls, cwd is the bundle.
//
// What start writes to stdout is the address and nothing else; containerd reads its stdout and
// stderr, merged, to their end, so neither may live on in the daemon.
#pragma once

#include <string>

#include "runtime/base/result.h"
#include "runtime/shim/flags.h"

namespace shim {

// Finds the pod's daemon or starts one, and leaves its address in ./address. Returns the address:
// "unix://" and the socket's path.
base::Result<std::string> Start(const Flags& flags);

// Frees what a container leaves on the host if its shim is gone; with a living shim only the mounts
// of its bundle. Idempotent. Returns the serialised DeleteResponse.
base::Result<std::string> Delete(const Flags& flags);

// A serialised RuntimeInfo: what -info writes.
std::string Info();

// What -v writes.
std::string VersionText();

}  // namespace shim
