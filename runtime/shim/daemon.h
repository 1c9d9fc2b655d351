// The daemon behind a pod's socket: one process, one reactor thread, from `start` to the pod's end.
#pragma once

#include <functional>
#include <memory>

#include "agent-proto/ttrpc/dispatch.h"
#include "agent-proto/ttrpc/transport.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/shim/flags.h"

namespace shim {

inline constexpr char kProgramName[] = "containerd-shim-pinion-v2";

// Where `start` leaves the listening socket.
inline constexpr int kListenerFd = 3;

// Both arguments outlive what it makes.
using MakeTransport = std::function<base::Result<std::unique_ptr<ttrpc::Transport>>(
    base::EventLoop& loop, const ttrpc::ServiceTable& table)>;

// Serves until Shutdown with no container left, SIGTERM or SIGINT. flags.socket and flags.key are
// set.
base::Result<void> RunDaemon(const Flags& flags, const MakeTransport& make_transport);

}  // namespace shim
