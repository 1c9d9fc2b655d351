// Serves a ServiceTable over gRPC (HTTP/2 without TLS on a stream socket), unary calls: the same
// handlers that ttrpc::Server calls, reached by /package.Service/Method.
//
// Thread rule: bound to the event loop. One thread of its own polls gRPC and posts what happened;
// handlers and replies run on the loop. Ownership: the server owns its listener and connections.
// A message over 4 MiB is answered kResourceExhausted. A call that its client cancels, or whose
// connection ends, expires CallContext::connection. A client that never reads loses the calls whose
// answers would exceed a fixed backlog.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "agent-proto/ttrpc/dispatch.h"
#include "agent-proto/ttrpc/transport.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace grpc_transport {

class Server : public ttrpc::Transport {
 public:
  // `loop` and `table` must outlive the server. gRPC's own messages go to the log from now on.
  static base::Result<std::unique_ptr<Server>> Create(base::EventLoop& loop,
                                                      const ttrpc::ServiceTable& table);
  // Cancels the calls that are left.
  ~Server() override;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  base::Result<void> Listen(base::UniqueFd listener) override;
  // Serves one connected stream socket.
  base::Result<void> Serve(base::UniqueFd connection);
  void StopListening() override;
  void WhenFlushed(std::function<void()> idle) override;
  // Calls that have begun and are not over.
  size_t open_calls() const;

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace grpc_transport
