#include "runtime/netlink/socket.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <utility>

namespace netlink {
namespace {

// More than a page of a dump has on any kernel (NLMSG_GOODSIZE is 8 KiB, dumps use up to 32 KiB).
constexpr size_t kBufferBytes = 64 << 10;
constexpr time_t kAnswerSeconds = 10;
constexpr int kDumpTries = 5;

// nlmsgerr, and with NETLINK_EXT_ACK the kernel's own words behind the request that it quotes.
base::Result<void> ReadAcknowledgement(const nlmsghdr& header, std::span<const std::byte> payload) {
  nlmsgerr error{};
  if (payload.size() < sizeof(error)) {
    return base::MakeError(base::Code::kInternal, "an acknowledgement of {} bytes", payload.size());
  }
  std::memcpy(&error, payload.data(), sizeof(error));
  if (error.error == 0) return base::Ok();
  std::string words;
  size_t quoted = sizeof(error);
  if ((header.nlmsg_flags & NLM_F_CAPPED) == 0) {
    quoted = sizeof(int) + NLMSG_ALIGN(error.msg.nlmsg_len);
  }
  if ((header.nlmsg_flags & NLM_F_ACK_TLVS) != 0 && quoted <= payload.size()) {
    words = Attributes(payload.subspan(quoted)).Text(NLMSGERR_ATTR_MSG);
  }
  errno = -error.error;
  return words.empty() ? base::ErrnoError("netlink") : base::ErrnoError("netlink: {}", words);
}

}  // namespace

base::Result<Socket> Socket::Open() {
  base::UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return base::ErrnoError("netlink socket");
  const int on = 1;
  // Words are a comfort; without them the errno does.
  static_cast<void>(setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)));
  const timeval limit{kAnswerSeconds, 0};
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0) {
    return base::ErrnoError("SO_RCVTIMEO of a netlink socket");
  }
  Socket made(std::move(fd));
  made.buffer_.resize(kBufferBytes);
  return made;
}

base::Result<void> Socket::Send(Message& message) {
  const std::span<const std::byte> bytes = message.Finish(++sequence_);
  if (send(socket_.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return base::ErrnoError("send to the kernel's netlink");
  }
  return base::Ok();
}

base::Result<void> Socket::Receive(const Part& part) {
  while (true) {
    const ssize_t size = recv(socket_.get(), buffer_.data(), buffer_.size(), MSG_TRUNC);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return base::ErrnoError("receive from the kernel's netlink");
    if (static_cast<size_t>(size) > buffer_.size()) {
      return base::MakeError(base::Code::kOutOfRange, "a netlink answer of {} bytes: at most {}",
                             size, buffer_.size());
    }
    std::span<const std::byte> rest(buffer_.data(), static_cast<size_t>(size));
    while (rest.size() >= sizeof(nlmsghdr)) {
      nlmsghdr header;
      std::memcpy(&header, rest.data(), sizeof(header));
      if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > rest.size()) break;
      // An answer to an earlier request that failed half-way is passed over.
      if (header.nlmsg_seq == sequence_) {
        const size_t length = header.nlmsg_len - sizeof(header);
        if (TRY(part(header, rest.subspan(sizeof(header), length)))) return base::Ok();
      }
      rest = rest.subspan(std::min<size_t>(NLMSG_ALIGN(header.nlmsg_len), rest.size()));
    }
  }
}

base::Result<void> Socket::Do(Message message) {
  message.SetU16(offsetof(nlmsghdr, nlmsg_flags),
                 static_cast<uint16_t>(message.flags() | NLM_F_ACK));
  TRY(Send(message));
  return Receive(
      [](const nlmsghdr& header, std::span<const std::byte> payload) -> base::Result<bool> {
        if (header.nlmsg_type != NLMSG_ERROR) return false;
        TRY(ReadAcknowledgement(header, payload));
        return true;
      });
}

base::Result<std::vector<Reply>> Socket::Dump(const Message& message) {
  for (int tries = 0; tries < kDumpTries; ++tries) {
    std::vector<Reply> replies;
    bool interrupted = false;
    Message request = message;
    TRY(Send(request));
    const Part part = [&](const nlmsghdr& header,
                          std::span<const std::byte> payload) -> base::Result<bool> {
      if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted = true;
      if (header.nlmsg_type == NLMSG_DONE) return true;
      if (header.nlmsg_type == NLMSG_ERROR) {
        TRY(ReadAcknowledgement(header, payload));
        return true;
      }
      replies.push_back({header.nlmsg_type, {payload.begin(), payload.end()}});
      return false;
    };
    TRY(Receive(part));
    if (!interrupted) return replies;
  }
  return base::MakeError(base::Code::kAborted, "the kernel's tables changed {} times while read",
                         kDumpTries);
}

}  // namespace netlink
