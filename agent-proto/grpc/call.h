// One call of a gRPC client, from before it comes until nothing of it is under way.
//
//   Request -> kRequested -> Read -> kRead -> handler -> Answer -> kFinished
//                    kEnded (answered, cancelled or cut off) comes at any time after kRequested
//
// Thread rule: bound to the event loop; the tags that it gives to gRPC come back to OnEvent there.
// Ownership: the server holds it until `over`; a handler's Reply refers to it weakly. Internal to
// the room.
#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent-proto/ttrpc/dispatch.h"
#include "runtime/base/result.h"

namespace grpc_transport {

class Backlog;

class Call : public std::enable_shared_from_this<Call> {
 public:
  enum class Event { kRequested, kRead, kFinished, kEnded };
  struct Tag {
    Call* call;
    Event event;
  };
  struct Environment {
    grpc::AsyncGenericService& service;
    grpc::ServerCompletionQueue& queue;
    const ttrpc::ServiceTable& table;
    Backlog& backlog;
  };

  // `environment` outlives the call.
  explicit Call(const Environment& environment);

  // Makes gRPC hand the next call that comes to this object.
  void Request();
  // The server goes away: an answer that comes yet is dropped.
  void Abandon() { ended_already_ = true; }
  // `ok` as gRPC's queue gave it with the tag.
  void OnEvent(Event event, bool ok);

  // A client has made this call: another object should wait for the next one.
  bool begun() const { return begun_; }
  // An answer was given and is not written out yet.
  bool answering() const { return answering_; }
  // No tag is out, and none follows.
  bool over() const { return outstanding_ == 0; }

 private:
  Tag* Expect(Tag& tag);
  void Dispatch();
  void Answer(const base::Result<std::string>& result);

  const Environment& environment_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_;
  grpc::ByteBuffer request_;
  Tag requested_{this, Event::kRequested};
  Tag read_{this, Event::kRead};
  Tag finished_{this, Event::kFinished};
  Tag ended_{this, Event::kEnded};
  int outstanding_ = 0;  // tags that gRPC holds
  bool begun_ = false;
  bool ended_already_ = false;
  bool answered_ = false;
  bool answering_ = false;
  size_t answer_bytes_ = 0;      // counted in the backlog
  std::string peer_;             // gRPC's name for the connection
  std::shared_ptr<void> token_;  // CallContext::connection refers to it
};

}  // namespace grpc_transport
