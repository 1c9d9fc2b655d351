#include "agent-proto/ttrpc/server_stream.h"

#include "agent-proto/ttrpc/session.h"

namespace ttrpc {

void ServerStream::Send(std::string_view message) {
  if (const auto session = session_.lock()) session->SendOn(id_, message);
}

bool ServerStream::ready() {
  const auto session = session_.lock();
  return session && session->ReadyFor(id_);
}

void ServerStream::End(const base::Result<void>& result) {
  if (const auto session = session_.lock()) session->EndStream(id_, result);
}

bool ServerStream::open() const {
  const auto session = session_.lock();
  return session && session->IsOpen(id_);
}

}  // namespace ttrpc
