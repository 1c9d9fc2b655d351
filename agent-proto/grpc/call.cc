#include "agent-proto/grpc/call.h"

#include <chrono>
#include <utility>

#include "agent-proto/grpc/backlog.h"
#include "agent-proto/ttrpc/connection.h"
#include "agent-proto/ttrpc/frame.h"
#include "agent-proto/ttrpc/status.h"

namespace grpc_transport {
namespace {

using base::Code;
using base::MakeError;

// gRPC over HTTP2, "Requests": Path is "/" Service-Name "/" {method name}.
struct MethodName {
  std::string service;
  std::string method;
};
MethodName Split(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || path[0] != '/') return {path, ""};
  return {path.substr(1, slash == 0 ? 0 : slash - 1), path.substr(slash + 1)};
}

std::string Text(grpc::string_ref text) { return std::string(text.data(), text.size()); }

grpc::Status ToStatus(const base::Error& error) {
  return grpc::Status(static_cast<grpc::StatusCode>(error.code()), ttrpc::ToUtf8(error.Message()));
}

}  // namespace

Call::Call(const Environment& environment) : environment_(environment), stream_(&context_) {}

Call::Tag* Call::Expect(Tag& tag) {
  ++outstanding_;
  return &tag;
}

void Call::Request() {
  // Comes with a call only, so that it is counted when there is one.
  context_.AsyncNotifyWhenDone(&ended_);
  environment_.service.RequestCall(&context_, &stream_, &environment_.queue, &environment_.queue,
                                   Expect(requested_));
}

void Call::OnEvent(Event event, bool ok) {
  --outstanding_;
  switch (event) {
    case Event::kRequested:
      if (!ok) return;  // the server ends
      begun_ = true;
      ++outstanding_;  // ended_
      token_ = std::make_shared<char>();
      peer_ = context_.peer();
      stream_.Read(&request_, Expect(read_));
      return;
    case Event::kRead:
      if (ok) return Dispatch();
      // Too large, for which gRPC has ended the call itself, or none at all.
      return Answer(MakeError(Code::kInvalidArgument, "the call came without a message"));
    case Event::kFinished:
      answering_ = false;
      environment_.backlog.Remove(peer_, answer_bytes_);
      return;
    case Event::kEnded:
      ended_already_ = true;
      token_.reset();
      return;
  }
}

void Call::Dispatch() {
  const auto [service, method] = Split(context_.method());
  auto handler = environment_.table.Find(service, method);
  if (!handler) return Answer(std::move(handler.error()));
  ttrpc::CallContext context;
  for (const auto& [key, value] : context_.client_metadata()) {
    context.metadata[Text(key)] = Text(value);
  }
  context.connection = token_;
  // gRPC itself ends a call whose time is over.
  if (context_.deadline() != std::chrono::system_clock::time_point::max()) {
    context.timeout = context_.deadline() - std::chrono::system_clock::now();
  }
  grpc::Slice payload;
  if (!request_.DumpToSingleSlice(&payload).ok()) {
    return Answer(MakeError(Code::kInvalidArgument, "the message cannot be read"));
  }
  request_.Clear();
  (**handler)(context,
              std::string_view(reinterpret_cast<const char*>(payload.begin()), payload.size()),
              [weak = weak_from_this()](const base::Result<std::string>& result) {
                if (const auto call = weak.lock()) call->Answer(result);
              });
}

void Call::Answer(const base::Result<std::string>& result) {
  if (answered_ || ended_already_) return;
  answered_ = true;
  if (result && result->size() > ttrpc::kMaxDataBytes) {
    answered_ = false;
    return Answer(MakeError(Code::kResourceExhausted, "the answer has {} bytes, at most {} fit",
                            result->size(), ttrpc::kMaxDataBytes));
  }
  const size_t bytes = result ? result->size() : 0;
  if (!environment_.backlog.Add(peer_, bytes, ttrpc::kMaxBacklogBytes)) {
    context_.TryCancel();
    return;
  }
  answer_bytes_ = bytes;
  answering_ = true;
  if (result) {
    const grpc::Slice slice(*result);
    stream_.WriteAndFinish(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), grpc::Status::OK,
                           Expect(finished_));
  } else {
    stream_.Finish(ToStatus(result.error()), Expect(finished_));
  }
}

}  // namespace grpc_transport
