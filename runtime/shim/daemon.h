// The daemon behind a pod's socket: one process, one reactor thread, from `start` to the pod's end.
#pragma once

#include "runtime/base/result.h"
#include "runtime/shim/flags.h"

namespace shim {

inline constexpr char kProgramName[] = "containerd-shim-pinion-v2";

// Where `start` leaves the listening socket.
inline constexpr int kListenerFd = 3;

// Serves until Shutdown with no container left, SIGTERM or SIGINT. flags.socket and flags.key are
// set.
base::Result<void> RunDaemon(const Flags& flags);

}  // namespace shim
