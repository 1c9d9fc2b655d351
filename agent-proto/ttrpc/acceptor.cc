#include "agent-proto/ttrpc/acceptor.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "runtime/base/log.h"
#include "runtime/base/socket.h"

namespace ttrpc {
namespace {

constexpr std::chrono::milliseconds kAcceptPause(100);

base::Result<void> CheckPeer(base::BorrowedFd socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return base::ErrnoError("SO_PEERCRED");
  }
  if (peer.uid != geteuid() || peer.gid != getegid()) {
    return base::MakeError(base::Code::kPermissionDenied,
                           "client {} is uid {} gid {}, only {} {} may call", peer.pid, peer.uid,
                           peer.gid, geteuid(), getegid());
  }
  return base::Ok();
}

}  // namespace

Acceptor::Acceptor(base::EventLoop& loop, std::function<base::Result<void>(base::UniqueFd)> take)
    : loop_(loop), take_(std::move(take)) {}

base::Result<void> Acceptor::Listen(base::UniqueFd listener) {
  listener_ = std::move(listener);
  watch_ = TRY(loop_.WatchFd(listener_, EPOLLIN, [this](uint32_t) { OnConnection(); }));
  return base::Ok();
}

void Acceptor::Stop() {
  watch_.Cancel();
  pause_.Cancel();
  listener_.Reset();
}

void Acceptor::OnConnection() {
  base::Result<base::UniqueFd> socket = base::Accept(listener_, SOCK_NONBLOCK);
  if (!socket) {
    const int error = socket.error().error_number();
    if (error == EAGAIN || error == ECONNABORTED) return;
    // EMFILE, ENOMEM: the connection stays queued, and the loop must not spin on it.
    LOG_WARNING("{}; no connection is taken for {} ms", socket.error().Message(),
                kAcceptPause.count());
    if (watch_.SetEvents(0)) {
      pause_ = loop_.After(kAcceptPause, [this] {
        if (!watch_.SetEvents(EPOLLIN)) LOG_ERROR("the listener cannot be watched any more");
      });
    }
    return;
  }
  base::Result<void> taken = CheckPeer(*socket);
  if (taken) taken = take_(std::move(*socket));
  if (!taken) LOG_WARNING("connection refused: {}", taken.error().Message());
}

}  // namespace ttrpc
