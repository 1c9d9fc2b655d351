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
  relay->fifo_watch_ =
      TRY(WatchIfPollable(loop, relay->fifo_.writer, 0, [raw](uint32_t) { raw->Pump(); }));
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
  const ssize_t size = TEMP_FAILURE_RETRY(read(stream_.get(), buffer, sizeof buffer));
  if (size < 0 && errno == EAGAIN) return Step::kWaitForGuest;
  // Without an end in band: the guest, or its connection, broke off.
  if (size <= 0) return Step::kEnd;
  decoder_.Push({buffer, static_cast<size_t>(size)});
  return Step::kAgain;
}

void OutputRelay::Wait(bool for_guest) {
  if (!for_guest && !fifo_watch_.active()) {
    start_ = loop_.After(std::chrono::milliseconds(10), [this] { Pump(); });
  }
  if (for_guest == stream_watch_.active()) return;  // that is what is waited for already
  if (fifo_watch_.active()) {
    static_cast<void>(fifo_watch_.SetEvents(for_guest ? 0U : EPOLLOUT));
  }
  // A hang-up is reported even to a watch that asks for nothing, over and over; while we wait for
  // the client, the guest's must not keep us busy.
  if (!for_guest) return stream_watch_.Cancel();
  base::Result<base::Watch> watch = loop_.WatchFd(stream_, EPOLLIN, [this](uint32_t) { Pump(); });
  if (!watch) return End();
  stream_watch_ = std::move(*watch);
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
  relay->fifo_watch_ =
      TRY(loop.WatchFd(relay->fifo_.reader, EPOLLIN, [raw](uint32_t) { raw->OnFifo(); }));
  return relay;
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
  base::Result<base::Watch> watch =
      loop_.WatchFd(fifo_.reader, EPOLLIN, [this](uint32_t) { OnFifo(); });
  if (!watch) return End();
  fifo_watch_ = std::move(*watch);
}

void InputRelay::OnStream(uint32_t events) {
  // The guest has nothing to say on a stdin: bytes or an end of file both mean it is done with it.
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) return End();
  if ((events & EPOLLOUT) != 0) Flush();
}

void InputRelay::End() {
  fifo_watch_.Cancel();
  stream_watch_.Cancel();
  stream_.Reset();
  fifo_ = {};
}

}  // namespace pod
