// Serves a ServiceTable over ttrpc (containerd/ttrpc PROTOCOL.md): unary calls and streams.
//
// Thread rule: bound to the event loop. Ownership: the server owns its listener and connections.
// Requests of one connection run concurrently; a frame over 4 MiB is discarded and answered
// kResourceExhausted; a client that never reads is cut off at a fixed backlog.
#pragma once

#include <functional>
#include <memory>

#include "agent-proto/ttrpc/dispatch.h"
#include "agent-proto/ttrpc/transport.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace ttrpc {

class Server : public Transport {
 public:
  // `loop` and `table` must outlive the server.
  Server(base::EventLoop& loop, const ServiceTable& table);
  ~Server() override;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  base::Result<void> Listen(base::UniqueFd listener) override;
  // Serves one connected stream socket (the agent's end of its vsock connection); `on_closed` is
  // called once when the peer has gone.
  base::Result<void> Serve(base::UniqueFd connection, std::function<void()> on_closed = {});
  void StopListening() override;
  void WhenFlushed(std::function<void()> idle) override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ttrpc
