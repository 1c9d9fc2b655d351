// Puts a member function into a service table. Thread rule: reactor-bound.
#pragma once

#include <functional>
#include <string>

#include "agent-proto/ttrpc/dispatch.h"
#include "runtime/base/result.h"

namespace shim {

// A handler that needs nothing of the context.
template <class Request, class Response, class Service>
void Register(ttrpc::ServiceTable& table, const std::string& service, const char* method,
              Service* self,
              void (Service::*handler)(const Request&,
                                       std::function<void(base::Result<Response>)>)) {
  table.RegisterUnary<Request, Response>(
      service, method,
      [self, handler](const ttrpc::CallContext&, const Request& request,
                      std::function<void(base::Result<Response>)> done) {
        (self->*handler)(request, std::move(done));
      });
}

template <class Request, class Response, class Service>
void Register(ttrpc::ServiceTable& table, const std::string& service, const char* method,
              Service* self,
              void (Service::*handler)(const Request&,
                                       const std::function<void(base::Result<Response>)>&)) {
  table.RegisterUnary<Request, Response>(
      service, method,
      [self, handler](const ttrpc::CallContext&, const Request& request,
                      const std::function<void(base::Result<Response>)>& done) {
        (self->*handler)(request, done);
      });
}

}  // namespace shim
