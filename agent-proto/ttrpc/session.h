// The server's side of one connection: checks frames, runs calls, answers each once; and holds the
// streams that are open (session_streams.cc).
//
// Thread rule: bound to the event loop. Ownership: the Server holds it; a call's Reply and a
// ServerStream refer to it weakly, so what is late for a connection that has gone is dropped.
// Internal to the room.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string_view>

#include "agent-proto/proto/ttrpc.pb.h"
#include "agent-proto/ttrpc/connection.h"
#include "agent-proto/ttrpc/dispatch.h"

namespace ttrpc {

class Session : public std::enable_shared_from_this<Session> {
 public:
  // Unanswered calls of one connection; more are answered kResourceExhausted. containerd's
  // cancelled Waits stay until it disconnects, hence the size.
  static constexpr size_t kMaxCalls = 65536;
  // Open streams of one connection; containerd opens one.
  static constexpr size_t kMaxStreams = 256;

  static base::Result<std::shared_ptr<Session>> Create(base::EventLoop& loop,
                                                       const ServiceTable& table,
                                                       base::UniqueFd socket,
                                                       std::function<void()> on_closed,
                                                       std::function<void()> on_drained);
  ~Session();

  bool drained() const { return connection_->drained(); }

  // For ServerStream; nothing happens if there is no such stream.
  void SendOn(uint32_t stream_id, std::string_view message);
  bool ReadyFor(uint32_t stream_id);
  void EndStream(uint32_t stream_id, const base::Result<void>& result);
  bool IsOpen(uint32_t stream_id) const;

 private:
  struct Call {
    std::shared_ptr<void> token;  // CallContext::connection refers to it
    base::Timer deadline;
  };
  struct Stream {
    StreamEvents events;
    std::shared_ptr<void> token;
    base::Timer deadline;
    bool client_closed = false;
    bool ended = false;  // by us
    bool waits = false;  // for on_ready
  };
  using StreamPtr = std::shared_ptr<Stream>;  // shared: a stream may end during its own event

  Session(base::EventLoop& loop, const ServiceTable& table) : loop_(loop), table_(table) {}
  void OnFrame(const Frame& frame);
  void OnRequest(const Frame& frame);
  void Dispatch(uint32_t stream_id, const wire::Request& request);
  static CallContext ContextOf(const wire::Request& request, const std::shared_ptr<void>& token);
  // The answer to a call; only the first one for `stream_id` is sent.
  void Finish(uint32_t stream_id, const base::Result<std::string>& result);
  void Answer(uint32_t stream_id, const base::Result<std::string>& result);

  // session_streams.cc
  void OpenStream(const Frame& frame, const wire::Request& request, const StreamHandler& handler);
  void OnData(const Frame& frame);
  void Deliver(uint32_t stream_id, const StreamPtr& stream, std::string_view message);
  void CloseFromClient(uint32_t stream_id, const StreamPtr& stream);
  // The client is told `error`, the service that the stream has gone.
  void BreakStream(uint32_t stream_id, const base::Error& error);
  void Remove(uint32_t stream_id);
  void OnDrained();
  void TellReady();
  void OnClosed();

  base::EventLoop& loop_;
  const ServiceTable& table_;
  std::shared_ptr<Connection> connection_;
  uint32_t last_stream_id_ = 0;
  std::map<uint32_t, Call> calls_;
  std::map<uint32_t, StreamPtr> streams_;
  bool streams_only_ = true;  // no unary call was made
  bool ready_posted_ = false;
};

}  // namespace ttrpc
