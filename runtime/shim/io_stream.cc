#include "runtime/shim/io_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "agent-proto/proto/containerd/streaming.pb.h"
#include "runtime/base/log.h"

namespace shim {

using base::Code;
using base::MakeError;

namespace {

constexpr char kData[] = "containerd.types.transfer.Data";
constexpr char kWindowUpdate[] = "containerd.types.transfer.WindowUpdate";

// containerd's are bare names; others put a host before.
std::string_view TypeOf(const containerd::Any& any) {
  const std::string_view url = any.type_url();
  return url.substr(url.rfind('/') + 1);
}

}  // namespace

base::Result<base::UniqueFd> IoStream::Claim(Direction direction) {
  if (direction_) return MakeError(Code::kAlreadyExists, "another process has this stream");
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return base::ErrnoError("pipe2");
  base::UniqueFd reader(ends[0]);
  base::UniqueFd writer(ends[1]);
  direction_ = direction;
  const bool output = direction == Direction::kOutput;
  pipe_ = output ? std::move(reader) : std::move(writer);
  Pump();
  return output ? std::move(writer) : std::move(reader);
}

void IoStream::CloseInput() {
  close_asked_ = true;
  Pump();
}

uint64_t IoStream::Attach(ttrpc::ServerStream client) {
  if (client_) client_->End(MakeError(Code::kAborted, "another connection took the stream over"));
  ++attachment_;
  client_ = std::move(client);
  ended_ = false;
  window_ = 0;
  sent_ = 0;
  granted_ = 0;
  Send("google.protobuf.Empty", {});
  Pump();
  return attachment_;
}

void IoStream::OnMessage(uint64_t attachment, std::string_view message) {
  if (attachment != attachment_ || !client_) return;
  containerd::Any any;
  if (!any.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return Break(MakeError(Code::kInvalidArgument, "the message is no Any"));
  }
  base::Result<void> taken = Take(any);
  if (!taken) return Break(std::move(taken.error()));
  Pump();
}

base::Result<void> IoStream::Take(const containerd::Any& any) {
  if (TypeOf(any) == kWindowUpdate) return OnWindow(any.value());
  if (TypeOf(any) != kData) {
    return MakeError(Code::kInvalidArgument, "a {}: Data or WindowUpdate is wanted",
                     base::Escaped(any.type_url(), 80));
  }
  containerd::streaming::Data data;
  if (!data.ParseFromString(any.value())) {
    return MakeError(Code::kInvalidArgument, "the message is no Data");
  }
  return OnInput(data.data());
}

base::Result<void> IoStream::OnWindow(std::string_view bytes) {
  containerd::streaming::WindowUpdate update;
  if (!update.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      update.update() <= 0) {
    return MakeError(Code::kInvalidArgument, "WindowUpdate: a number above 0 is wanted");
  }
  if (window_ + update.update() > std::numeric_limits<int32_t>::max()) {
    return MakeError(Code::kInvalidArgument, "WindowUpdate: {} more is over 2147483647 in all",
                     update.update());
  }
  window_ += update.update();
  return base::Ok();
}

// An output's client was granted nothing.
base::Result<void> IoStream::OnInput(std::string_view bytes) {
  if (bytes.size() > granted_) {
    return MakeError(Code::kResourceExhausted, "{} bytes of Data, the window is {}", bytes.size(),
                     granted_);
  }
  granted_ -= bytes.size();
  // A process that has closed its stdin, or ended, must not hold up the client: there is no EPIPE
  // that we could give him.
  if (pipe_) pending_ += bytes;
  return base::Ok();
}

// The client sends no more. Whose output it is wants no more.
void IoStream::OnClose(uint64_t attachment) {
  if (attachment != attachment_ || !client_) return;
  const std::shared_ptr<IoStream> self = shared_from_this();
  closed_ = true;
  closed_at_ = std::chrono::steady_clock::now();
  client_->End();
  client_.reset();
  Taken();
  Pump();
}

void IoStream::OnReady(uint64_t attachment) {
  if (attachment == attachment_) Pump();
}

void IoStream::OnGone(uint64_t attachment) {
  if (attachment != attachment_) return;
  client_.reset();
  sent_ = 0;
  Pump();
}

void IoStream::Break(base::Error error) {
  LOG_WARNING("stream: {}", error.Message());
  client_->End(std::move(error));
  client_.reset();
  sent_ = 0;
  Pump();
}

void IoStream::Send(const char* type, const std::string& message) {
  containerd::Any any;
  any.set_type_url(type);
  any.set_value(message);
  client_->Send(any.SerializeAsString());
}

void IoStream::Pump() {
  if (!direction_) return;
  const std::shared_ptr<IoStream> self = shared_from_this();  // End may drop the client's share
  if (*direction_ == Direction::kOutput) {
    PumpOutput();
  } else {
    PumpInput();
  }
}

// One message is under way at a time: what the kernel has not taken of it stays ours.
void IoStream::PumpOutput() {
  while (client_ && !ended_ && client_->ready()) {
    unsent_.erase(0, std::exchange(sent_, 0));
    if (unsent_.empty() && at_end_) {
      ended_ = true;
      client_->End();
      break;
    }
    if (window_ == 0) break;
    if (unsent_.empty()) {
      if (!ReadPipe()) return Wait(EPOLLIN);
      continue;
    }
    sent_ = std::min({unsent_.size(), static_cast<size_t>(window_), kMaxDataBytes});
    window_ -= static_cast<int64_t>(sent_);
    containerd::streaming::Data data;
    data.set_data(unsent_.data(), sent_);
    Send(kData, data.SerializeAsString());
  }
  Wait(0);
}

// False: there is nothing yet.
bool IoStream::ReadPipe() {
  char buffer[kMaxDataBytes];
  const size_t wanted = std::min(sizeof buffer, static_cast<size_t>(window_));
  const ssize_t size = TEMP_FAILURE_RETRY(read(pipe_.get(), buffer, wanted));
  if (size < 0 && errno == EAGAIN) return false;
  if (size < 0) LOG_ERROR("stream: {}", base::ErrnoError("read of a process' output").Message());
  if (size > 0) {
    unsent_.assign(buffer, static_cast<size_t>(size));
  } else {
    at_end_ = true;
    watch_.Cancel();
    pipe_.Reset();
  }
  return true;
}

void IoStream::PumpInput() {
  while (pipe_ && !pending_.empty()) {
    const ssize_t size = TEMP_FAILURE_RETRY(write(pipe_.get(), pending_.data(), pending_.size()));
    if (size < 0 && errno == EAGAIN) {
      Grant();
      return Wait(EPOLLOUT);
    }
    if (size < 0) {
      watch_.Cancel();
      pipe_.Reset();
      pending_.clear();
      break;
    }
    pending_.erase(0, static_cast<size_t>(size));
  }
  Wait(0);
  if (closed_ || (close_asked_ && !client_)) pipe_.Reset();
  Grant();
}

void IoStream::Grant() {
  if (!client_) return;
  const size_t room = kWindowBytes - granted_ - pending_.size();
  if (room < kWindowBytes / 2) return;
  granted_ += room;
  containerd::streaming::WindowUpdate update;
  update.set_update(static_cast<int32_t>(room));
  Send(kWindowUpdate, update.SerializeAsString());
}

// Cancelled, not silenced, while nothing is wanted: a pipe whose other end is closed reports that
// all the time.
void IoStream::Wait(uint32_t events) {
  if (events == 0) return watch_.Cancel();
  if (watch_.active()) return;
  base::Result<base::Watch> watch = loop_.WatchFd(pipe_, events, [this](uint32_t) { Pump(); });
  if (watch) {
    watch_ = std::move(*watch);
    return;
  }
  // Nobody would wake us again.
  LOG_ERROR("stream: {}", watch.error().Trail());
  if (client_) client_->End(std::move(watch.error()));
  client_.reset();
}

void IoStream::Taken() {
  if (!on_taken_ || direction_ != Direction::kOutput) return;
  taken_ = loop_.After(std::chrono::nanoseconds(0), [this] {
    if (const auto done = std::exchange(on_taken_, nullptr)) done();
  });
}

}  // namespace shim
