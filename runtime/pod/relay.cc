#include "runtime/pod/relay.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "runtime/base/log.h"

namespace pod {
namespace {

constexpr size_t kReadBytes = 64 << 10;
// Per readiness, so that one stream does not keep the reactor to itself.
constexpr int kStepsPerEvent = 32;

// A watch, or none for what epoll(7) refuses with EPERM: regular files and such, always ready.
base::Result<base::Watch> WatchIfPollable(base::EventLoop& loop, base::BorrowedFd fd,
                                          uint32_t events, base::EventLoop::FdCallback callback) {
  base::Result<base::Watch> watch = loop.WatchFd(fd, events, std::move(callback));
  if (!watch && watch.error().error_number() == EPERM) return base::Watch();
  return watch;
}

}  // namespace

OutputRelay::OutputRelay(base::EventLoop& loop, base::UniqueFd stream, stream::Decoder decoder,
                         OutputFifo fifo, std::function<void()> on_end)
    : loop_(loop),
      stream_(std::move(stream)),
      decoder_(std::move(decoder)),
      fifo_(std::move(fifo)),
      on_end_(std::move(on_end)) {}

base::Result<std::unique_ptr<OutputRelay>> OutputRelay::Start(base::EventLoop& loop,
                                                              base::UniqueFd stream,
                                                              stream::Decoder decoder,
                                                              OutputFifo fifo,
                                                              std::function<void()> on_end) {
  std::unique_ptr<OutputRelay> relay(new OutputRelay(loop, std::move(stream), std::move(decoder),
                                                     std::move(fifo), std::move(on_end)));
  OutputRelay* const raw = relay.get();
  relay->stream_watch_ =
      TRY(loop.WatchFd(relay->stream_, EPOLLIN, [raw](uint32_t) { raw->Pump(); }));
  // The decoder may hold frames already, for which no descriptor becomes ready.
  relay->start_ = loop.After(std::chrono::nanoseconds(0), [raw] { raw->Pump(); });
  return relay;
}

void OutputRelay::Pump() {
  for (int i = 0; i < kStepsPerEvent; ++i) {
    switch (PumpOnce()) {
      case Step::kAgain:
        break;
      case Step::kWaitForGuest:
        return Wait(/*for_guest=*/true);
      case Step::kWaitForClient:
        return Wait(/*for_guest=*/false);
      case Step::kEnd:
        return End();
    }
  }
  // Others first.
  start_ = loop_.After(std::chrono::nanoseconds(0), [this] { Pump(); });
}

OutputRelay::Step OutputRelay::PumpOnce() {
  if (written_ < pending_.size()) {
    const ssize_t size = TEMP_FAILURE_RETRY(
        write(fifo_.writer.get(), pending_.data() + written_, pending_.size() - written_));
    if (size < 0) {
      if (errno == EAGAIN) return Step::kWaitForClient;
      LOG_WARNING("stdio: {}", base::ErrnoError("write to the client").Message());
      return Step::kEnd;
    }
    written_ += static_cast<size_t>(size);
    return Step::kAgain;
  }
  base::Result<std::optional<stream::Decoder::Frame>> frame = decoder_.Next();
  if (!frame) {
    LOG_WARNING("stdio: the guest's stream: {}", frame.error().Message());
    return Step::kEnd;
  }
  if (!*frame) return ReadStream();
  if ((*frame)->eof) return Step::kEnd;
  pending_ = std::move((*frame)->bytes);
  written_ = 0;
  return Step::kAgain;
}

OutputRelay::Step OutputRelay::ReadStream() {
  char buffer[kReadBytes];
  // The vmm shares the open file, and with it O_NONBLOCK, which it could take away.
  const ssize_t size = TEMP_FAILURE_RETRY(recv(stream_.get(), buffer, sizeof buffer, MSG_DONTWAIT));
  if (size < 0 && errno == EAGAIN) return Step::kWaitForGuest;
  // Without an end in band: the guest, or its connection, broke off.
  if (size <= 0) return Step::kEnd;
  decoder_.Push({buffer, static_cast<size_t>(size)});
  return Step::kAgain;
}

void OutputRelay::Wait(bool for_guest) {
  // A hang-up or an error is reported even to a watch that asks for nothing, over and over: the one
  // who is not waited for is not watched.
  (for_guest ? fifo_watch_ : stream_watch_).Cancel();
  base::Watch& awaited = for_guest ? stream_watch_ : fifo_watch_;
  if (awaited.active()) return;
  const auto pump = [this](uint32_t) { Pump(); };
  base::Result<base::Watch> watch = for_guest
                                        ? loop_.WatchFd(stream_, EPOLLIN, pump)
                                        : WatchIfPollable(loop_, fifo_.writer, EPOLLOUT, pump);
  if (!watch) return End();
  awaited = std::move(*watch);
  if (!awaited.active()) start_ = loop_.After(std::chrono::milliseconds(10), [this] { Pump(); });
}

void OutputRelay::End() {
  start_.Cancel();
  stream_watch_.Cancel();
  fifo_watch_.Cancel();
  stream_.Reset();
  fifo_ = {};
  const auto on_end = std::move(on_end_);
  if (on_end) on_end();
}

InputRelay::InputRelay(base::EventLoop& loop, base::UniqueFd stream, InputFifo fifo)
    : loop_(loop), stream_(std::move(stream)), fifo_(std::move(fifo)) {}

base::Result<std::unique_ptr<InputRelay>> InputRelay::Start(base::EventLoop& loop,
                                                            base::UniqueFd stream, InputFifo fifo) {
  std::unique_ptr<InputRelay> relay(new InputRelay(loop, std::move(stream), std::move(fifo)));
  InputRelay* const raw = relay.get();
  // EPOLLRDHUP: the process may close its stdin long before the client closes his end.
  relay->stream_watch_ = TRY(loop.WatchFd(relay->stream_, EPOLLIN | EPOLLRDHUP,
                                          [raw](uint32_t events) { raw->OnStream(events); }));
  TRY(relay->AwaitFifo());
  return relay;
}

base::Result<void> InputRelay::AwaitFifo() {
  fifo_watch_ = TRY(WatchIfPollable(loop_, fifo_.reader, EPOLLIN, [this](uint32_t) { OnFifo(); }));
  // Others first.
  if (!fifo_watch_.active()) next_ = loop_.After(std::chrono::nanoseconds(0), [this] { OnFifo(); });
  return base::Ok();
}

void InputRelay::CloseInput() { fifo_.keep_alive.Reset(); }

void InputRelay::OnFifo() {
  if (!pending_.empty()) return;
  char buffer[kReadBytes];
  const ssize_t size = TEMP_FAILURE_RETRY(read(fifo_.reader.get(), buffer, sizeof buffer));
  if (size < 0 && errno == EAGAIN) return;
  if (size > 0) {
    pending_ = stream::Encode({buffer, static_cast<size_t>(size)});
  } else {
    pending_ = stream::EncodeEof();
    ended_ = true;
  }
  written_ = 0;
  Flush();
}

void InputRelay::Flush() {
  while (written_ < pending_.size()) {
    const ssize_t size =
        TEMP_FAILURE_RETRY(send(stream_.get(), pending_.data() + written_,
                                pending_.size() - written_, MSG_NOSIGNAL | MSG_DONTWAIT));
    if (size < 0) {
      if (errno != EAGAIN) return End();
      // Cancelled, not silenced: a fifo whose writers have gone reports EPOLLHUP all the time.
      fifo_watch_.Cancel();
      static_cast<void>(stream_watch_.SetEvents(EPOLLIN | EPOLLRDHUP | EPOLLOUT));
      return;
    }
    written_ += static_cast<size_t>(size);
  }
  pending_.clear();
  if (ended_) return End();
  if (fifo_watch_.active()) return;
  static_cast<void>(stream_watch_.SetEvents(EPOLLIN | EPOLLRDHUP));
  if (!AwaitFifo()) End();
}

void InputRelay::OnStream(uint32_t events) {
  // The guest has nothing to say on a stdin: bytes or an end of file both mean it is done with it.
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) return End();
  if ((events & EPOLLOUT) != 0) Flush();
}

void InputRelay::End() {
  next_.Cancel();
  fifo_watch_.Cancel();
  stream_watch_.Cancel();
  stream_.Reset();
  fifo_ = {};
}

}  // namespace pod
