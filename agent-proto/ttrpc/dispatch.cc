#include "agent-proto/ttrpc/dispatch.h"

namespace ttrpc {

void ServiceTable::Register(std::string service, std::string method, Handler handler) {
  services_[std::move(service)][std::move(method)] = std::move(handler);
}

void ServiceTable::RegisterStream(std::string service, std::string method, StreamHandler handler) {
  streams_[{std::move(service), std::move(method)}] = std::move(handler);
}

const StreamHandler* ServiceTable::FindStream(const std::string& service,
                                              const std::string& method) const {
  const auto found = streams_.find({service, method});
  return found == streams_.end() ? nullptr : &found->second;
}

base::Result<const Handler*> ServiceTable::Find(const std::string& service,
                                                const std::string& method) const {
  const auto methods = services_.find(service);
  if (methods == services_.end()) {
    return base::MakeError(base::Code::kUnimplemented, "service {}", service);
  }
  const auto handler = methods->second.find(method);
  if (handler == methods->second.end()) {
    return base::MakeError(base::Code::kUnimplemented, "method {}", method);
  }
  return &handler->second;
}

}  // namespace ttrpc
