// Session: streams (containerd/ttrpc PROTOCOL.md, "Streaming").
//
//   Request -> open ──client closes──► half closed ──End──► over
//               └──────End──► ended ──client closes──────────┘
//   An error, either side's, is the end of both ways at once.
#include <string>
#include <utility>

#include "agent-proto/ttrpc/session.h"

namespace ttrpc {

using base::Code;
using base::MakeError;

void Session::OpenStream(const Frame& frame, const wire::Request& request,
                         const StreamHandler& handler) {
  const uint32_t id = frame.stream_id;
  const bool closed = (frame.flags & kFlagRemoteClosed) != 0;
  if (!closed && (frame.flags & kFlagRemoteOpen) == 0) {
    Answer(id, MakeError(Code::kInvalidArgument, "method {} streams, and the request is unary",
                         request.method()));
    return;
  }
  if (streams_.size() >= kMaxStreams) {
    Answer(id, MakeError(Code::kResourceExhausted, "{} streams of this connection are open",
                         streams_.size()));
    return;
  }
  const auto stream = std::make_shared<Stream>();
  stream->token = std::make_shared<char>();
  const CallContext context = ContextOf(request, stream->token);
  if (context.timeout) {
    stream->deadline = loop_.After(*context.timeout, [this, id] {
      const std::shared_ptr<Session> self = shared_from_this();
      BreakStream(id, MakeError(Code::kDeadlineExceeded, "context deadline exceeded"));
    });
  }
  streams_[id] = stream;
  stream->events = handler(context, ServerStream(weak_from_this(), id));
  // A client that streams may send its first message with the request; one that does not, must.
  if (closed || !request.payload().empty()) Deliver(id, stream, request.payload());
  if (closed) CloseFromClient(id, stream);
}

void Session::OnData(const Frame& frame) {
  const uint32_t id = frame.stream_id;
  if (calls_.count(id) != 0) {
    Finish(id, MakeError(Code::kInvalidArgument, "stream {} is unary and takes no data", id));
    return;
  }
  const auto found = streams_.find(id);
  if (found == streams_.end()) {
    // What was under way when its stream ended is nobody's fault.
    if (id % 2 == 1 && id <= last_stream_id_) return;
    Answer(id, MakeError(Code::kInvalidArgument, "stream {} is not open", id));
    return;
  }
  const StreamPtr stream = found->second;
  if (stream->client_closed) {
    BreakStream(id, MakeError(Code::kInvalidArgument, "stream {}: data behind its close", id));
    return;
  }
  const bool no_data = (frame.flags & kFlagNoData) != 0;
  if (no_data && !frame.data.empty()) {
    BreakStream(id, MakeError(Code::kInvalidArgument, "stream {}: {} bytes in a frame without data",
                              id, frame.data.size()));
    return;
  }
  if (!no_data) Deliver(id, stream, frame.data);
  if ((frame.flags & kFlagRemoteClosed) != 0) CloseFromClient(id, stream);
}

void Session::Deliver(uint32_t stream_id, const StreamPtr& stream, std::string_view message) {
  if (IsOpen(stream_id) && stream->events.on_message) stream->events.on_message(message);
}

void Session::CloseFromClient(uint32_t stream_id, const StreamPtr& stream) {
  if (streams_.count(stream_id) == 0) return;
  stream->client_closed = true;
  if (stream->ended) Remove(stream_id);
  if (stream->events.on_close) stream->events.on_close();
}

void Session::BreakStream(uint32_t stream_id, const base::Error& error) {
  const auto found = streams_.find(stream_id);
  if (found == streams_.end()) return;
  const StreamPtr stream = found->second;
  // To a client that has read the end already, it is over.
  if (!stream->ended) Answer(stream_id, base::Error(error.code(), error.Message()));
  Remove(stream_id);
  if (stream->events.on_gone) stream->events.on_gone();
}

// containerd up to 2.1 opens a connection for each stream and never closes it.
void Session::Remove(uint32_t stream_id) {
  streams_.erase(stream_id);
  if (streams_only_ && streams_.empty()) connection_->CloseWhenDrained();
}

bool Session::IsOpen(uint32_t stream_id) const {
  const auto found = streams_.find(stream_id);
  return found != streams_.end() && !found->second->ended;
}

void Session::SendOn(uint32_t stream_id, std::string_view message) {
  if (IsOpen(stream_id)) connection_->Send(stream_id, MessageType::kData, 0, message);
}

bool Session::ReadyFor(uint32_t stream_id) {
  if (!IsOpen(stream_id) || connection_->closed()) return false;
  if (connection_->drained()) return true;
  streams_.at(stream_id)->waits = true;
  return false;
}

void Session::EndStream(uint32_t stream_id, const base::Result<void>& result) {
  if (!IsOpen(stream_id)) return;
  const StreamPtr stream = streams_.at(stream_id);
  if (!result) {
    Answer(stream_id, base::Error(result.error().code(), result.error().Message()));
    Remove(stream_id);
    return;
  }
  stream->ended = true;
  connection_->Send(stream_id, MessageType::kData, kFlagRemoteClosed | kFlagNoData, {});
  if (stream->client_closed) Remove(stream_id);
}

// From the loop: the connection is drained inside a Send, too, where a service expects no event.
void Session::OnDrained() {
  if (ready_posted_) return;
  for (const auto& [id, stream] : streams_) ready_posted_ = ready_posted_ || stream->waits;
  if (!ready_posted_) return;
  loop_.Post([weak = weak_from_this()] {
    if (const auto session = weak.lock()) session->TellReady();
  });
}

void Session::TellReady() {
  ready_posted_ = false;
  const std::map<uint32_t, StreamPtr> streams = streams_;
  for (const auto& [id, stream] : streams) {
    if (!std::exchange(stream->waits, false) || !IsOpen(id)) continue;
    if (ReadyFor(id) && stream->events.on_ready) stream->events.on_ready();
  }
}

void Session::OnClosed() {
  const std::map<uint32_t, StreamPtr> streams = std::exchange(streams_, {});
  for (const auto& [id, stream] : streams) {
    if (stream->events.on_gone) stream->events.on_gone();
  }
}

}  // namespace ttrpc
