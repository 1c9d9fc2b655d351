#include "agent-proto/ttrpc/connection.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>

namespace ttrpc {
namespace {

constexpr size_t kReadBytes = 64 << 10;

}  // namespace

base::Result<std::shared_ptr<Connection>> Connection::Create(base::EventLoop& loop,
                                                             base::UniqueFd socket,
                                                             Callbacks callbacks,
                                                             size_t max_data_bytes) {
  const int flags = fcntl(socket.get(), F_GETFL);
  if (flags < 0 || fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return base::ErrnoError("fcntl(O_NONBLOCK)");
  }
  std::shared_ptr<Connection> connection(
      new Connection(loop, std::move(socket), std::move(callbacks), max_data_bytes));
  Connection* raw = connection.get();  // the watch ends with the connection
  connection->watch_ = TRY(
      loop.WatchFd(connection->socket_, EPOLLIN, [raw](uint32_t events) { raw->OnReady(events); }));
  connection->events_ = EPOLLIN;
  return connection;
}

Connection::Connection(base::EventLoop& loop, base::UniqueFd socket, Callbacks callbacks,
                       size_t max_data_bytes)
    : loop_(loop),
      socket_(std::move(socket)),
      callbacks_(std::move(callbacks)),
      reader_(max_data_bytes) {}

void Connection::OnReady(uint32_t events) {
  const std::shared_ptr<Connection> self = shared_from_this();
  if ((events & EPOLLOUT) != 0) WriteSome();
  // EPOLLHUP and EPOLLERR show in the result of the read, after what was still to be read.
  if (!closed_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) ReadSome();
}

// MSG_DONTWAIT, here and below: O_NONBLOCK belongs to the open file, which an agent's vmm shares.
void Connection::ReadSome() {
  // One read a turn: others on the loop get theirs, and epoll is level-triggered.
  char buffer[kReadBytes];
  const ssize_t count =
      TEMP_FAILURE_RETRY(recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT));
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
  if (count <= 0) {
    Fail();
    return;
  }
  reader_.Push(std::string_view(buffer, static_cast<size_t>(count)));
  while (!closed_) {
    std::optional<Frame> frame = reader_.Next();
    if (!frame) return;
    callbacks_.on_frame(std::move(*frame));
  }
}

void Connection::Send(uint32_t stream_id, MessageType type, uint8_t flags, std::string_view data) {
  if (closed_) return;
  if (written_ > out_.size() / 2) {
    out_.erase(0, written_);
    written_ = 0;
  }
  out_ += EncodeFrame(stream_id, type, flags, data);
  WriteSome();
  if (!closed_ && out_.size() - written_ > kMaxBacklogBytes) Fail();
}

void Connection::WriteSome() {
  const bool was_drained = drained();
  while (!drained()) {
    const ssize_t count =
        TEMP_FAILURE_RETRY(send(socket_.get(), out_.data() + written_, out_.size() - written_,
                                MSG_NOSIGNAL | MSG_DONTWAIT));
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (count < 0) {
      Fail();
      return;
    }
    written_ += static_cast<size_t>(count);
  }
  if (drained()) {
    out_.clear();
    written_ = 0;
    // The room of a 4 MiB answer should not stay with an idle connection.
    if (out_.capacity() > kReadBytes) out_.shrink_to_fit();
  }
  UpdateEvents();
  if (was_drained || !drained()) return;
  if (closing_) return Fail();
  if (callbacks_.on_drained) callbacks_.on_drained();
}

void Connection::UpdateEvents() {
  const uint32_t wanted = EPOLLIN | (drained() ? 0u : static_cast<uint32_t>(EPOLLOUT));
  if (closed_ || wanted == events_) return;
  events_ = wanted;
  if (!watch_.SetEvents(wanted)) Fail();
}

void Connection::CloseWhenDrained() {
  closing_ = true;
  if (drained()) Fail();
}

void Connection::Close() {
  silent_ = true;
  Shut();
}

void Connection::Shut() {
  closed_ = true;
  watch_.Cancel();
  socket_.Reset();
  out_.clear();
  written_ = 0;
}

void Connection::Fail() {
  if (closed_) return;
  Shut();
  loop_.Post([self = shared_from_this()] {
    if (self->silent_) return;
    // Taken out first: the callback may destroy what its captures refer to.
    const Callbacks callbacks = std::exchange(self->callbacks_, {});
    if (callbacks.on_closed) callbacks.on_closed();
  });
}

}  // namespace ttrpc
