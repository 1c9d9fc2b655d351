#include "agent-proto/ttrpc/session.h"

#include <chrono>
#include <string>
#include <utility>

#include "agent-proto/ttrpc/status.h"

namespace ttrpc {

using base::Code;
using base::MakeError;

base::Result<std::shared_ptr<Session>> Session::Create(base::EventLoop& loop,
                                                       const ServiceTable& table,
                                                       base::UniqueFd socket,
                                                       std::function<void()> on_closed,
                                                       std::function<void()> on_drained) {
  std::shared_ptr<Session> session(new Session(loop, table));
  Session* raw = session.get();  // ~Session closes the connection: no callback outlives it
  session->connection_ =
      TRY(Connection::Create(loop, std::move(socket),
                             {.on_frame = [raw](const Frame& frame) { raw->OnFrame(frame); },
                              .on_closed =
                                  [raw, on_closed = std::move(on_closed)] {
                                    const std::shared_ptr<Session> self = raw->shared_from_this();
                                    self->OnClosed();
                                    on_closed();
                                  },
                              .on_drained =
                                  [raw, on_drained = std::move(on_drained)] {
                                    raw->OnDrained();
                                    on_drained();
                                  }}));
  return session;
}

Session::~Session() {
  if (connection_) connection_->Close();
}

void Session::OnFrame(const Frame& frame) {
  const std::shared_ptr<Session> self = shared_from_this();  // a handler may drop the server
  if (frame.oversize) {
    const base::Error error =
        MakeError(Code::kResourceExhausted, "message of {} bytes, at most {} are allowed",
                  frame.length, kMaxDataBytes);
    if (streams_.count(frame.stream_id) != 0) return BreakStream(frame.stream_id, error);
    Answer(frame.stream_id, base::Error(error.code(), error.Message()));
    return;
  }
  switch (static_cast<MessageType>(frame.type)) {
    case MessageType::kRequest:
      OnRequest(frame);
      return;
    case MessageType::kData:
      OnData(frame);
      return;
    case MessageType::kResponse:
      return;
  }
  // PROTOCOL.md: unknown types are ignored.
}

void Session::OnRequest(const Frame& frame) {
  const uint32_t stream_id = frame.stream_id;
  if (stream_id % 2 != 1) {
    Answer(stream_id,
           MakeError(Code::kInvalidArgument,
                     "StreamID must be odd for client initiated streams, not {}", stream_id));
    return;
  }
  if (stream_id <= last_stream_id_) {
    Answer(stream_id, MakeError(Code::kInvalidArgument, "StreamID {} is not above the last one, {}",
                                stream_id, last_stream_id_));
    return;
  }
  last_stream_id_ = stream_id;
  wire::Request request;
  if (!request.ParseFromString(frame.data)) {
    Answer(stream_id, MakeError(Code::kInvalidArgument, "the data is no ttrpc.Request"));
    return;
  }
  if (const StreamHandler* handler = table_.FindStream(request.service(), request.method())) {
    OpenStream(frame, request, *handler);
    return;
  }
  streams_only_ = false;
  if (calls_.size() >= kMaxCalls) {
    Answer(stream_id,
           MakeError(Code::kResourceExhausted, "{} calls of this connection wait", calls_.size()));
    return;
  }
  Dispatch(stream_id, request);
}

CallContext Session::ContextOf(const wire::Request& request, const std::shared_ptr<void>& token) {
  CallContext context;
  for (const wire::KeyValue& pair : request.metadata()) {
    context.metadata[pair.key()] = pair.value();
  }
  if (request.timeout_nano() > 0) {
    context.timeout = std::chrono::nanoseconds(request.timeout_nano());
  }
  context.connection = token;
  return context;
}

void Session::Dispatch(uint32_t stream_id, const wire::Request& request) {
  auto handler = table_.Find(request.service(), request.method());
  if (!handler) {
    Answer(stream_id, std::move(handler.error()));
    return;
  }
  Call call{std::make_shared<char>(), {}};
  const CallContext context = ContextOf(request, call.token);
  if (context.timeout) {
    // A client never says that it has given up; after this time it surely has.
    call.deadline = loop_.After(*context.timeout, [this, stream_id] {
      Finish(stream_id, MakeError(Code::kDeadlineExceeded, "context deadline exceeded"));
    });
  }
  calls_.emplace(stream_id, std::move(call));
  (**handler)(context, request.payload(),
              [weak = weak_from_this(), stream_id](const base::Result<std::string>& result) {
                if (const auto session = weak.lock()) session->Finish(stream_id, result);
              });
}

void Session::Finish(uint32_t stream_id, const base::Result<std::string>& result) {
  if (calls_.erase(stream_id) == 0) return;
  Answer(stream_id, result);
}

void Session::Answer(uint32_t stream_id, const base::Result<std::string>& result) {
  connection_->Send(stream_id, MessageType::kResponse, 0, EncodeResponse(result));
}

}  // namespace ttrpc
