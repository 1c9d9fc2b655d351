// The transport-neutral dispatch table: services are written once against it and served over ttrpc
// or gRPC.
//
// Thread rule: bound to the event loop's thread, replies included. Ownership: the table is filled
// before it is served and outlives every server.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "agent-proto/ttrpc/server_stream.h"
#include "runtime/base/result.h"

namespace ttrpc {

struct CallContext {
  // Relative, as sent; absent: no limit.
  std::optional<std::chrono::nanoseconds> timeout;
  // Keys in lower case.
  std::map<std::string, std::string> metadata;
  // Expired once the caller's connection has gone: what still waits on its behalf may stop.
  std::weak_ptr<void> connection;
};

// Called exactly once, now or later, with the serialised response.
using Reply = std::function<void(base::Result<std::string>)>;
using Handler =
    std::function<void(const CallContext& context, std::string_view payload, Reply reply)>;

// Called for each stream that a client opens, before its first message.
using StreamHandler = std::function<StreamEvents(const CallContext& context, ServerStream stream)>;

class ServiceTable {
 public:
  void Register(std::string service, std::string method, Handler handler);
  // A method that streams both ways; over ttrpc only.
  void RegisterStream(std::string service, std::string method, StreamHandler handler);

  // A handler in terms of messages: void(const CallContext&, const Request&,
  // std::function<void(Result<Response>)>). A payload that does not parse is kInvalidArgument.
  template <class Request, class Response>
  void RegisterUnary(std::string service, std::string method,
                     std::function<void(const CallContext&, const Request&,
                                        std::function<void(base::Result<Response>)>)>
                         handler) {
    Register(std::move(service), method,
             [method, handler = std::move(handler)](const CallContext& context,
                                                    std::string_view payload, Reply reply) {
               Request request;
               if (!request.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
                 reply(base::MakeError(base::Code::kInvalidArgument, "{}: the payload is no {}",
                                       method, request.GetTypeName()));
                 return;
               }
               handler(context, request, [reply = std::move(reply)](base::Result<Response> result) {
                 if (!result) {
                   reply(std::move(result.error()));
                   return;
                 }
                 reply(result->SerializeAsString());
               });
             });
  }

  // kUnimplemented, naming the service or the method that is not there.
  base::Result<const Handler*> Find(const std::string& service, const std::string& method) const;
  // Null if no such method streams.
  const StreamHandler* FindStream(const std::string& service, const std::string& method) const;

 private:
  std::map<std::string, std::map<std::string, Handler>> services_;
  std::map<std::pair<std::string, std::string>, StreamHandler> streams_;
};

}  // namespace ttrpc
