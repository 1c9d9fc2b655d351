#include "runtime/base/tunnel.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace base {
namespace {

constexpr size_t kReadBytes = 64 << 10;

}  // namespace

Result<std::unique_ptr<Tunnel>> Tunnel::Start(EventLoop& loop, UniqueFd a, UniqueFd b,
                                              std::string early, std::function<void()> on_end) {
  std::unique_ptr<Tunnel> tunnel(new Tunnel(loop, std::move(on_end)));
  tunnel->sides_[0].socket = std::move(a);
  tunnel->sides_[1].socket = std::move(b);
  tunnel->sides_[0].pending = std::move(early);
  for (Side& side : tunnel->sides_) {
    const int flags = fcntl(side.socket.get(), F_GETFL);
    if (flags < 0 || fcntl(side.socket.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
      return ErrnoError("O_NONBLOCK of a socket");
    }
  }
  TRY(tunnel->Wait(tunnel->sides_[0], tunnel->sides_[1]));
  TRY(tunnel->Wait(tunnel->sides_[1], tunnel->sides_[0]));
  return tunnel;
}

void Tunnel::OnSide() {
  auto& [a, b] = sides_;
  Move(a, b);
  Move(b, a);
  if ((a.write_ended && b.write_ended) || !Wait(a, b) || !Wait(b, a)) End();
}

// One read and what it takes to pass it on.
void Tunnel::Move(Side& from, Side& to) {
  Flush(to);
  if (to.pending.empty() && !from.read_ended && !to.write_ended) {
    Read(from, to);
    Flush(to);
  }
  // Nobody is left to hear it.
  if (to.write_ended) from.read_ended = true;
  if (!from.read_ended || !to.pending.empty() || to.write_ended) return;
  to.write_ended = true;
  // Fails where the socket is gone, which is an end as well.
  shutdown(to.socket.get(), SHUT_WR);
}

void Tunnel::Read(Side& from, Side& to) {
  to.pending.resize(kReadBytes);
  const ssize_t size = recv(from.socket.get(), to.pending.data(), to.pending.size(), MSG_DONTWAIT);
  const int error = errno;
  to.pending.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
  if (size > 0 || (size < 0 && (error == EAGAIN || error == EINTR))) return;
  from.read_ended = true;
  if (size == 0) return;
  from.write_ended = true;
  from.pending.clear();
}

void Tunnel::Flush(Side& to) {
  while (to.written < to.pending.size()) {
    const ssize_t size = send(to.socket.get(), to.pending.data() + to.written,
                              to.pending.size() - to.written, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return;
    if (size < 0) {
      to.write_ended = true;
      break;
    }
    to.written += static_cast<size_t>(size);
  }
  to.pending.clear();
  to.written = 0;
}

// With nothing to wait for, the socket is not watched at all: epoll would report its hang-up for
// ever.
Result<void> Tunnel::Wait(Side& side, const Side& other) {
  uint32_t wanted = 0;
  if (!side.read_ended && other.pending.empty()) wanted |= EPOLLIN;
  if (!side.pending.empty()) wanted |= EPOLLOUT;
  if (wanted == side.watched) return Ok();
  side.watched = wanted;
  if (wanted == 0) {
    side.watch.Cancel();
  } else if (side.watch.active()) {
    TRY(side.watch.SetEvents(wanted));
  } else {
    side.watch = TRY(loop_.WatchFd(side.socket, wanted, [this](uint32_t) { OnSide(); }));
  }
  return Ok();
}

void Tunnel::End() {
  for (Side& side : sides_) side.watch.Cancel();
  // Moved out: the handler may destroy this object.
  const auto on_end = std::move(on_end_);
  on_end();
}

}  // namespace base
