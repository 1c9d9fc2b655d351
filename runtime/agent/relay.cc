#include "runtime/agent/relay.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace agent {
namespace {

// A frame of this much, with the headers of vsock and of Linux' buffers, fits in 32 KiB: the most
// for which the kernel finds adjacent pages when memory is scattered (PAGE_ALLOC_COSTLY_ORDER).
constexpr size_t kOutputBytes = 31 << 10;
constexpr size_t kInputBytes = stream::kHeaderBytes + stream::kMaxFrameBytes;
// Full reads per readiness, so that one stream does not keep the loop to itself.
constexpr int kReadsPerEvent = 8;

base::Result<void> SetNonBlocking(base::BorrowedFd fd) {
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return base::ErrnoError("make descriptor {} non-blocking", fd.get());
  }
  return base::Ok();
}

bool TryAgain() { return errno == EAGAIN || errno == EINTR; }

}  // namespace

base::Result<std::unique_ptr<OutputRelay>> OutputRelay::Create(base::EventLoop& loop,
                                                               base::UniqueFd source,
                                                               base::UniqueFd host,
                                                               std::function<void()> on_end) {
  std::unique_ptr<OutputRelay> relay(new OutputRelay(loop));
  TRY(SetNonBlocking(source));
  TRY(SetNonBlocking(host));
  relay->source_ = std::move(source);
  relay->host_ = std::move(host);
  relay->on_end_ = std::move(on_end);
  OutputRelay* raw = relay.get();
  relay->host_watch_ =
      TRY(loop.WatchFd(relay->host_, EPOLLIN, [raw](uint32_t events) { raw->OnHost(events); }));
  relay->Arm();
  return relay;
}

void OutputRelay::OnSource() {
  for (int i = 0; i < kReadsPerEvent; ++i) {
    if (!PassOn()) return;
  }
}

// True: all that was read has been passed on, and there may be more.
bool OutputRelay::PassOn() {
  std::array<char, kOutputBytes> buffer;
  const ssize_t size = read(source_.get(), buffer.data(), buffer.size());
  if (size < 0 && TryAgain()) return false;
  if (size > 0) {
    if (host_) pending_ = stream::Encode({buffer.data(), static_cast<size_t>(size)});
  } else {
    // EIO of a terminal means that its last other end has been closed: the end as well.
    source_ended_ = true;
    source_watch_.Cancel();
    source_.Reset();
    if (host_) pending_ = stream::EncodeEof();
  }
  Flush();  // at the end it may destroy this
  return size == static_cast<ssize_t>(buffer.size()) && pending_.empty();
}

void OutputRelay::OnHost(uint32_t events) {
  if ((events & EPOLLIN) != 0) {
    // The host sends nothing on these: readable means that it has gone.
    char byte = 0;
    const ssize_t size = recv(host_.get(), &byte, 1, MSG_DONTWAIT);
    if (size == 0 || (size < 0 && !TryAgain())) LoseHost();
  } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    LoseHost();
  }
  Flush();
}

void OutputRelay::Flush() {
  while (host_ && !pending_.empty()) {
    const ssize_t sent = send(host_.get(), pending_.data(), pending_.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      pending_.erase(0, static_cast<size_t>(sent));
    } else if (sent < 0 && TryAgain()) {
      break;
    } else {
      LoseHost();
    }
  }
  if (source_ended_ && pending_.empty()) {
    host_watch_.Cancel();
    host_.Reset();
    if (const std::function<void()> on_end = std::exchange(on_end_, nullptr)) on_end();
    return;
  }
  Arm();
}

// Whoever writes goes on being read: a container must not block, or die of SIGPIPE, because its log
// has lost its reader.
void OutputRelay::LoseHost() {
  host_watch_.Cancel();
  host_.Reset();
  pending_.clear();
}

void OutputRelay::Arm() {
  // Not silenced but taken out: epoll reports EPOLLHUP whatever it was asked for, and would spin.
  if (!pending_.empty()) {
    source_watch_.Cancel();
  } else if (source_ && !source_watch_.active()) {
    base::Result<base::Watch> watch =
        loop_.WatchFd(source_, EPOLLIN, [this](uint32_t) { OnSource(); });
    if (watch) source_watch_ = std::move(*watch);
  }
  if (host_full_ == pending_.empty()) {
    host_full_ = !host_full_;
    // Fails only for a watch that is not active.
    static_cast<void>(host_watch_.SetEvents(host_full_ ? EPOLLIN | EPOLLOUT : EPOLLIN));
  }
}

base::Result<std::unique_ptr<InputRelay>> InputRelay::Create(base::EventLoop& loop,
                                                             base::UniqueFd host,
                                                             base::UniqueFd sink,
                                                             bool close_on_end) {
  std::unique_ptr<InputRelay> relay(new InputRelay(loop));
  TRY(SetNonBlocking(host));
  TRY(SetNonBlocking(sink));
  relay->host_ = std::move(host);
  relay->sink_ = std::move(sink);
  relay->close_on_end_ = close_on_end;
  relay->Arm();
  return relay;
}

void InputRelay::OnHost() {
  std::array<char, kInputBytes> buffer;
  const ssize_t size = read(host_.get(), buffer.data(), buffer.size());
  if (size < 0 && TryAgain()) return;
  if (size <= 0) {
    host_ended_ = true;
  } else {
    decoder_.Push({buffer.data(), static_cast<size_t>(size)});
  }
  Drain();
}

void InputRelay::OnSink(uint32_t events) {
  Drain();
  // A terminal without a reader takes nothing more and says so for ever.
  if (!pending_.empty() && (events & (EPOLLHUP | EPOLLERR)) != 0) {
    pending_.clear();
    Drain();
  }
}

void InputRelay::Drain() {
  while (true) {
    if (!sink_) pending_.clear();
    if (!pending_.empty()) {
      const ssize_t written = write(sink_.get(), pending_.data(), pending_.size());
      if (written > 0) {
        pending_.erase(0, static_cast<size_t>(written));
        continue;
      }
      if (written < 0 && TryAgain()) break;
      // No reader any more. The host is still read, so that it does not block.
      sink_watch_.Cancel();
      sink_.Reset();
      continue;
    }
    base::Result<std::optional<stream::Decoder::Frame>> frame = decoder_.Next();
    if (!frame) host_ended_ = true;  // garbage ends the stream as a closed connection does
    if (!frame || !*frame) break;
    if ((*frame)->eof) {
      host_ended_ = true;
    } else {
      pending_ = std::move((*frame)->bytes);
    }
  }
  if (host_ended_ && pending_.empty()) return Finish();
  Arm();
}

void InputRelay::Finish() {
  host_watch_.Cancel();
  host_.Reset();
  sink_watch_.Cancel();
  if (close_on_end_) sink_.Reset();
}

void InputRelay::Arm() {
  if (!pending_.empty() || host_ended_) {
    host_watch_.Cancel();
  } else if (host_ && !host_watch_.active()) {
    base::Result<base::Watch> watch = loop_.WatchFd(host_, EPOLLIN, [this](uint32_t) { OnHost(); });
    if (watch) host_watch_ = std::move(*watch);
  }
  if (pending_.empty()) {
    sink_watch_.Cancel();
  } else if (sink_ && !sink_watch_.active()) {
    base::Result<base::Watch> watch =
        loop_.WatchFd(sink_, EPOLLOUT, [this](uint32_t events) { OnSink(events); });
    if (watch) sink_watch_ = std::move(*watch);
  }
}

}  // namespace agent
