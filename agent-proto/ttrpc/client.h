// Calls unary ttrpc methods over one connected stream socket.
//
// Thread rule: bound to the event loop. Ownership: owns the socket. When the connection ends every
// pending call fails with kUnavailable, then `on_closed` is called, once.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent-proto/ttrpc/dispatch.h"
#include "agent-proto/ttrpc/frame.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace ttrpc {

struct CallOptions {
  std::optional<std::chrono::nanoseconds> timeout;
  std::map<std::string, std::string> metadata;
};

class Client {
 public:
  // An answer with more than `max_answer_bytes`, at most kMaxDataBytes, fails its call with
  // kResourceExhausted.
  static base::Result<std::unique_ptr<Client>> Create(base::EventLoop& loop,
                                                      base::UniqueFd connection,
                                                      std::function<void()> on_closed,
                                                      size_t max_answer_bytes = kMaxDataBytes);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // `done` is called once, never before CallRaw returns, unless the client is destroyed first: with
  // the response's bytes, the peer's status, kDeadlineExceeded after options.timeout, or
  // kUnavailable with error_number() ENOTCONN (a peer may say kUnavailable, too: without one).
  void CallRaw(const std::string& service, const std::string& method, std::string payload,
               const CallOptions& options, std::function<void(base::Result<std::string>)> done);

  template <class Response, class Request>
  void Call(const std::string& service, const std::string& method, const Request& request,
            const CallOptions& options, std::function<void(base::Result<Response>)> done) {
    CallRaw(service, method, request.SerializeAsString(), options,
            [method, done = std::move(done)](base::Result<std::string> raw) {
              if (!raw) {
                done(std::move(raw.error()));
                return;
              }
              Response response;
              if (!response.ParseFromString(*raw)) {
                done(base::MakeError(base::Code::kInternal, "{}: the answer is no {}", method,
                                     response.GetTypeName()));
                return;
              }
              done(std::move(response));
            });
  }

 private:
  class Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ttrpc
