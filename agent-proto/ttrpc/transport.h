// How a ServiceTable is reached: ttrpc::Server, or grpc_transport::Server in agent-proto/grpc.
#pragma once

#include <functional>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace ttrpc {

// Thread rule: bound to the event loop.
class Transport {
 public:
  virtual ~Transport() = default;

  // Accepts on a listening AF_UNIX socket; peers of another uid or gid than ours are refused
  // (SO_PEERCRED).
  virtual base::Result<void> Listen(base::UniqueFd listener) = 0;
  // Stops accepting; calls in flight still get their replies.
  virtual void StopListening() = 0;
  // Calls `idle` when every reply that was given has been written out.
  virtual void WhenFlushed(std::function<void()> idle) = 0;
};

}  // namespace ttrpc
