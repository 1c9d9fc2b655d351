// The server's side of one connection: checks frames, runs calls, answers each once.
//
// Thread rule: bound to the event loop. Ownership: the Server holds it; a call's Reply refers to it
// weakly, so a late answer to a connection that has gone is dropped. Internal to the room.
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

  static base::Result<std::shared_ptr<Session>> Create(base::EventLoop& loop,
                                                       const ServiceTable& table,
                                                       base::UniqueFd socket,
                                                       std::function<void()> on_closed,
                                                       std::function<void()> on_drained);
  ~Session();

  bool drained() const { return connection_->drained(); }

 private:
  struct Call {
    std::shared_ptr<void> token;  // CallContext::connection refers to it
    base::Timer deadline;
  };

  Session(base::EventLoop& loop, const ServiceTable& table) : loop_(loop), table_(table) {}
  void OnFrame(const Frame& frame);
  void OnRequest(uint32_t stream_id, std::string_view data);
  void Dispatch(uint32_t stream_id, const wire::Request& request);
  // The answer to a call; only the first one for `stream_id` is sent.
  void Finish(uint32_t stream_id, const base::Result<std::string>& result);
  void Answer(uint32_t stream_id, const base::Result<std::string>& result);

  base::EventLoop& loop_;
  const ServiceTable& table_;
  std::shared_ptr<Connection> connection_;
  uint32_t last_stream_id_ = 0;
  std::map<uint32_t, Call> calls_;
};

}  // namespace ttrpc
