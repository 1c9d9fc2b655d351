#include "agent-proto/ttrpc/server.h"

#include <algorithm>
#include <map>
#include <utility>

#include "agent-proto/ttrpc/acceptor.h"
#include "agent-proto/ttrpc/flush_waiters.h"
#include "agent-proto/ttrpc/session.h"

namespace ttrpc {

class Server::Impl {
 public:
  Impl(base::EventLoop& loop, const ServiceTable& table)
      : loop_(loop),
        table_(table),
        acceptor_(loop, [this](base::UniqueFd socket) { return Serve(std::move(socket), {}); }),
        waiters_(loop, [this] { return Flushed(); }),
        alive_(std::make_shared<char>()) {}

  base::Result<void> Listen(base::UniqueFd listener) {
    return acceptor_.Listen(std::move(listener));
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
          if (!alive.expired()) waiters_.Check();
        }));
    sessions_.emplace(id, std::move(session));
    return base::Ok();
  }

  void StopListening() { acceptor_.Stop(); }

  void WhenFlushed(std::function<void()> idle) { waiters_.Add(std::move(idle)); }

 private:
  // By value: erasing the session destroys the callback that we are in.
  void OnClosed(uint64_t id, std::function<void()> on_closed) {
    sessions_.erase(id);
    waiters_.Check();
    if (on_closed) on_closed();
  }

  bool Flushed() const {
    return std::all_of(sessions_.begin(), sessions_.end(),
                       [](const auto& entry) { return entry.second->drained(); });
  }

  base::EventLoop& loop_;
  const ServiceTable& table_;
  Acceptor acceptor_;
  uint64_t next_id_ = 0;
  std::map<uint64_t, std::shared_ptr<Session>> sessions_;
  FlushWaiters waiters_;
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
