#include "vmm/virtio/vsock_connection.h"

#include <limits.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "vmm/virtio/queue.h"

namespace vmm::virtio {
namespace {

// The guest is told of room when it believes that less than this is left.
constexpr uint32_t kLowCredit = VsockConnection::kBufferBytes / 2;

msghdr Message(std::span<const iovec> buffers) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(buffers.data());
  message.msg_iovlen = std::min<size_t>(buffers.size(), IOV_MAX);
  return message;
}

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

VsockConnection::VsockConnection(base::UniqueFd socket, const VsockHeader& request)
    : socket_(std::move(socket)),
      guest_buffer_(request.buffer_bytes),
      guest_forwarded_(request.forwarded_bytes) {}

bool VsockConnection::OnPacket(const VsockHeader& header, std::span<const iovec> payload) {
  // Every packet carries the guest's credit (virtio 1.2, 5.10.6.3).
  guest_buffer_ = header.buffer_bytes;
  guest_forwarded_ = header.forwarded_bytes;
  if (GuestCredit() != 0) credit_requested_ = false;
  switch (header.op) {
    case VsockOp::kData:
      return OnData(payload, header.length);
    case VsockOp::kShutdown:
      OnShutdown(header.flags);
      return true;
    case VsockOp::kCreditUpdate:
      return true;
    case VsockOp::kCreditRequest:
      credit_due_ = true;
      return true;
    default:
      return false;
  }
}

bool VsockConnection::OnData(std::span<const iovec> payload, uint32_t length) {
  // A guest that sends more than we have room for ignores its credit; one that sends after its own
  // end is no better.
  if (length > kBufferBytes - Buffered() || (guest_shutdown_ & kVsockShutdownSend) != 0) {
    return false;
  }
  size_t taken = 0;
  if (reader_gone_) {
    taken = length;  // the guest may not have heard yet
  } else if (Buffered() == 0 && length != 0) {
    const msghdr message = Message(payload);
    const ssize_t sent = sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      taken = static_cast<size_t>(sent);
    } else if (!WouldBlock()) {
      LoseReader();
      taken = length;
    }
  }
  if (taken < length) {
    if (buffer_start_ != 0) {
      buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(buffer_start_));
      buffer_start_ = 0;
    }
    const size_t before = buffer_.size();
    buffer_.resize(before + length - taken);
    CopyFrom(payload, taken, std::span(buffer_).subspan(before));
  }
  Forwarded(taken);
  return true;
}

void VsockConnection::OnShutdown(uint32_t flags) {
  const uint32_t news = flags & kVsockShutdownBoth & ~guest_shutdown_;
  guest_shutdown_ |= news;
  // The host's writer is to see EPIPE.
  if ((news & kVsockShutdownReceive) != 0) shutdown(socket_.get(), SHUT_RD);
  if ((news & kVsockShutdownSend) != 0 && Buffered() == 0) shutdown(socket_.get(), SHUT_WR);
}

void VsockConnection::OnSocket(uint32_t events) {
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) readable_ = true;
  if ((events & EPOLLOUT) != 0) Flush();
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    hung_up_ = true;
    LoseReader();
  }
}

void VsockConnection::Flush() {
  if (Buffered() == 0) return;
  const ssize_t sent =
      send(socket_.get(), buffer_.data() + buffer_start_, Buffered(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) {
    if (!WouldBlock()) LoseReader();
    return;
  }
  buffer_start_ += static_cast<size_t>(sent);
  Forwarded(static_cast<size_t>(sent));
  if (Buffered() != 0) return;
  buffer_.clear();
  buffer_start_ = 0;
  if ((guest_shutdown_ & kVsockShutdownSend) != 0) shutdown(socket_.get(), SHUT_WR);
}

void VsockConnection::Forwarded(size_t bytes) {
  forwarded_ += static_cast<uint32_t>(bytes);
  if (forwarded_ - told_forwarded_ > kBufferBytes - kLowCredit) credit_due_ = true;
}

void VsockConnection::LoseReader() {
  if (std::exchange(reader_gone_, true)) return;
  Forwarded(Buffered());
  buffer_.clear();
  buffer_start_ = 0;
  shutdown_due_ |= kVsockShutdownReceive;
}

uint32_t VsockConnection::GuestCredit() const {
  const uint32_t in_flight = sent_ - guest_forwarded_;
  return in_flight < guest_buffer_ ? guest_buffer_ - in_flight : 0;
}

bool VsockConnection::CanRead() const {
  return !end_of_stream_ && (guest_shutdown_ & kVsockShutdownReceive) == 0;
}

uint32_t VsockConnection::WantedEvents() const {
  uint32_t events = 0;
  if (CanRead() && !readable_) events |= EPOLLIN;
  if (Buffered() != 0) events |= EPOLLOUT;
  return events;
}

bool VsockConnection::HasPacket() const {
  if (response_due_ || credit_due_) return true;
  if ((shutdown_due_ & ~shutdown_sent_) != 0) return true;
  return readable_ && CanRead() && (GuestCredit() != 0 || !credit_requested_);
}

bool VsockConnection::NextPacket(std::span<const iovec> room, VsockHeader& header) {
  header.type = kVsockTypeStream;
  header.buffer_bytes = kBufferBytes;
  header.forwarded_bytes = forwarded_;
  if (!ChoosePacket(room, header)) return false;
  // Any packet carries the credit.
  told_forwarded_ = forwarded_;
  credit_due_ = false;
  return true;
}

bool VsockConnection::ChoosePacket(std::span<const iovec> room, VsockHeader& header) {
  if (std::exchange(response_due_, false)) {
    header.op = VsockOp::kResponse;
    return true;
  }
  if (readable_ && CanRead() && GuestCredit() != 0) {
    std::vector<iovec> parts;
    Subrange(room, 0, std::min(GuestCredit(), kVsockMaxPayload), parts);
    msghdr message = Message(parts);
    const ssize_t got = parts.empty() ? 0 : recvmsg(socket_.get(), &message, MSG_DONTWAIT);
    if (got > 0) {
      sent_ += static_cast<uint32_t>(got);
      header.op = VsockOp::kData;
      header.length = static_cast<uint32_t>(got);
      return true;
    }
    // ECONNRESET: the host closed with bytes of ours unread; nothing more comes either.
    if (got == 0 || !WouldBlock()) {
      end_of_stream_ = true;
      shutdown_due_ |= kVsockShutdownSend;
    }
    readable_ = false;
  } else if (readable_ && CanRead() && !std::exchange(credit_requested_, true)) {
    header.op = VsockOp::kCreditRequest;
    return true;
  }
  if (const uint32_t due = shutdown_due_ & ~shutdown_sent_; due != 0) {
    shutdown_sent_ |= due;
    header.op = VsockOp::kShutdown;
    header.flags = shutdown_sent_;
    return true;
  }
  header.op = VsockOp::kCreditUpdate;
  return credit_due_;
}

bool VsockConnection::Finished() const {
  return guest_shutdown_ == kVsockShutdownBoth && Buffered() == 0;
}

}  // namespace vmm::virtio
