// One stream that a client has opened, as the service sees it: messages both ways until both sides
// have closed (containerd/ttrpc PROTOCOL.md, "Streaming").
//
// Thread rule: bound to the event loop. Ownership: a ServerStream is a handle, to be copied; the
// connection holds the stream, and when one of them has gone its calls do nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "runtime/base/result.h"

namespace ttrpc {

class Session;

class ServerStream {
 public:
  ServerStream(std::weak_ptr<Session> session, uint32_t id)
      : session_(std::move(session)), id_(id) {}

  // Queues a message, at most kMaxDataBytes long.
  void Send(std::string_view message);
  // Everything sent has been taken by the kernel. If not, on_ready follows; whoever sends on none
  // the less fills the connection's backlog, at whose limit the connection ends.
  bool ready();
  // Nothing more is sent. kOk: the client reads the end; on_close or on_gone is still to come if
  // it has not. An error ends both ways at once, and no event follows.
  void End(const base::Result<void>& result = base::Ok());
  // Neither ended from here nor gone.
  bool open() const;

 private:
  std::weak_ptr<Session> session_;
  uint32_t id_;
};

// What a stream's service is told, from the loop; each may be empty. None is called once the server
// has been destroyed.
struct StreamEvents {
  std::function<void(std::string_view message)> on_message;
  // The client sends nothing more.
  std::function<void()> on_close;
  std::function<void()> on_ready;
  // The connection has ended, or the client broke the protocol, before both had closed.
  std::function<void()> on_gone;
};

}  // namespace ttrpc
