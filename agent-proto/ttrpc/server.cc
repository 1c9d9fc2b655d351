#include "agent-proto/ttrpc/server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "agent-proto/ttrpc/session.h"
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

class Server::Impl {
 public:
  Impl(base::EventLoop& loop, const ServiceTable& table)
      : loop_(loop), table_(table), alive_(std::make_shared<char>()) {}

  base::Result<void> Listen(base::UniqueFd listener) {
    listener_ = std::move(listener);
    accept_ = TRY(loop_.WatchFd(listener_, EPOLLIN, [this](uint32_t) { OnConnection(); }));
    return base::Ok();
  }

  base::Result<void> Serve(base::UniqueFd connection, std::function<void()> on_closed) {
    const uint64_t id = next_id_++;
    // A handler may destroy the server and then reply: its session outlives us by that much.
    const std::weak_ptr<void> alive = alive_;
    auto session = TRY(Session::Create(
        loop_, table_, std::move(connection),
        [this, alive, id, on_closed = std::move(on_closed)] {
          if (!alive.expired()) OnClosed(id, on_closed);
        },
        [this, alive] {
          if (!alive.expired()) CheckFlushed();
        }));
    sessions_.emplace(id, std::move(session));
    return base::Ok();
  }

  void StopListening() {
    accept_.Cancel();
    accept_pause_.Cancel();
    listener_.Reset();
  }

  void WhenFlushed(std::function<void()> idle) {
    waiting_.push_back(std::move(idle));
    CheckFlushed();
  }

 private:
  void OnConnection() {
    base::Result<base::UniqueFd> socket = base::Accept(listener_, SOCK_NONBLOCK);
    if (!socket) {
      const int error = socket.error().error_number();
      if (error == EAGAIN || error == ECONNABORTED) return;
      // EMFILE, ENOMEM: the connection stays queued, and the loop must not spin on it.
      LOG_WARNING("{}; no connection is taken for {} ms", socket.error().Message(),
                  kAcceptPause.count());
      if (accept_.SetEvents(0)) {
        accept_pause_ = loop_.After(kAcceptPause, [this] {
          if (!accept_.SetEvents(EPOLLIN)) LOG_ERROR("the listener cannot be watched any more");
        });
      }
      return;
    }
    base::Result<void> taken = CheckPeer(*socket);
    if (taken) taken = Serve(std::move(*socket), {});
    if (!taken) LOG_WARNING("connection refused: {}", taken.error().Message());
  }

  // By value: erasing the session destroys the callback that we are in.
  void OnClosed(uint64_t id, std::function<void()> on_closed) {
    sessions_.erase(id);
    CheckFlushed();
    if (on_closed) on_closed();
  }

  void CheckFlushed() {
    if (waiting_.empty()) return;
    const bool flushed = std::all_of(sessions_.begin(), sessions_.end(),
                                     [](const auto& entry) { return entry.second->drained(); });
    if (!flushed) return;
    for (auto& idle : waiting_) {
      loop_.Post([idle = std::move(idle), alive = std::weak_ptr<void>(alive_)] {
        if (!alive.expired()) idle();
      });
    }
    waiting_.clear();
  }

  base::EventLoop& loop_;
  const ServiceTable& table_;
  base::UniqueFd listener_;
  base::Watch accept_;
  base::Timer accept_pause_;
  uint64_t next_id_ = 0;
  std::map<uint64_t, std::shared_ptr<Session>> sessions_;
  std::vector<std::function<void()>> waiting_;
  std::shared_ptr<void> alive_;
};

Server::Server(base::EventLoop& loop, const ServiceTable& table)
    : impl_(std::make_unique<Impl>(loop, table)) {}
Server::~Server() = default;

base::Result<void> Server::Listen(base::UniqueFd listener) {
  return impl_->Listen(std::move(listener));
}
base::Result<void> Server::Serve(base::UniqueFd connection, std::function<void()> on_closed) {
  return impl_->Serve(std::move(connection), std::move(on_closed));
}
void Server::StopListening() { impl_->StopListening(); }
void Server::WhenFlushed(std::function<void()> idle) { impl_->WhenFlushed(std::move(idle)); }

}  // namespace ttrpc
