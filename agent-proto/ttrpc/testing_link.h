// A ServiceTable behind a socket and a client of it, for unit tests of services. Thread rule: bound
// to the event loop, which the caller turns.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "agent-proto/ttrpc/client.h"
#include "agent-proto/ttrpc/server.h"
#include "runtime/base/socket.h"

namespace ttrpc {

class TestingLink {
 public:
  // Empty until the answer has come.
  template <class Response>
  using Answer = std::shared_ptr<std::optional<base::Result<Response>>>;

  // `loop` and `table` outlive it.
  static base::Result<std::unique_ptr<TestingLink>> Create(base::EventLoop& loop,
                                                           const ServiceTable& table) {
    auto link = std::unique_ptr<TestingLink>(new TestingLink(loop, table));
    auto pair = TRY(base::SocketPair(SOCK_STREAM));
    TRY(link->server_.Serve(std::move(pair.first)));
    link->client_ = TRY(Client::Create(loop, std::move(pair.second), {}));
    return link;
  }

  template <class Response, class Request>
  Answer<Response> Begin(const std::string& service, const std::string& method,
                         const Request& request) {
    auto answer = std::make_shared<std::optional<base::Result<Response>>>();
    client_->Call<Response>(service, method, request, {}, [answer](base::Result<Response> result) {
      answer->emplace(std::move(result));
    });
    return answer;
  }
  // Turns the loop until the answer has come.
  template <class Response, class Request>
  base::Result<Response> Call(const std::string& service, const std::string& method,
                              const Request& request) {
    const Answer<Response> answer = Begin<Response>(service, method, request);
    while (!*answer) TRY(loop_.RunOnce(std::chrono::milliseconds(10)));
    return std::move(**answer);
  }

 private:
  TestingLink(base::EventLoop& loop, const ServiceTable& table)
      : loop_(loop), server_(loop, table) {}

  base::EventLoop& loop_;
  Server server_;
  std::unique_ptr<Client> client_;
};

}  // namespace ttrpc
