#include "runtime/base/socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

namespace base {
namespace {

constexpr size_t kMaxFdsPerMessage = 16;

Result<sockaddr_un> Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return MakeError(Code::kInvalidArgument, "socket path {} has {} bytes, at most {} fit", path,
                     path.size(), sizeof address.sun_path - 1);
  }
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> SocketPair(int type) {
  int fds[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0) return ErrnoError("socketpair");
  return std::pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}

Result<UniqueFd> ListenUnix(const std::string& path, int type) {
  const sockaddr_un address = TRY(Address(path));
  UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd) return ErrnoError("socket");
  // The mode is set before bind, so that there is no moment in which others could connect.
  if (fchmod(fd.get(), 0600) != 0) return ErrnoError("fchmod {}", path);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    Error made = ErrnoError("bind {}", path);
    return error == EADDRINUSE ? std::move(made).WithCode(Code::kAlreadyExists) : std::move(made);
  }
  if (listen(fd.get(), SOMAXCONN) != 0) return ErrnoError("listen {}", path);
  return fd;
}

Result<UniqueFd> ConnectUnix(const std::string& path, int type) {
  const sockaddr_un address = TRY(Address(path));
  UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd) return ErrnoError("socket");
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return ErrnoError("connect {}", path);
  }
  return fd;
}

Result<UniqueFd> Accept(BorrowedFd listener, int flags) {
  UniqueFd fd(static_cast<int>(
      TEMP_FAILURE_RETRY(accept4(listener.get(), nullptr, nullptr, flags | SOCK_CLOEXEC))));
  if (!fd) return ErrnoError("accept4");
  return fd;
}

Result<void> SendMessage(BorrowedFd socket, std::span<const std::byte> bytes,
                         std::span<const BorrowedFd> fds) {
  CHECK(fds.size() <= kMaxFdsPerMessage);
  iovec vector{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))] = {};
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    for (size_t i = 0; i < fds.size(); ++i) {
      const int fd = fds[i].get();
      memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  if (TEMP_FAILURE_RETRY(sendmsg(socket.get(), &message, MSG_NOSIGNAL)) < 0) {
    const int error = errno;
    Error made = ErrnoError("sendmsg of {} bytes and {} fds", bytes.size(), fds.size());
    return error == EAGAIN ? std::move(made).WithCode(Code::kResourceExhausted) : std::move(made);
  }
  return Ok();
}

Result<SocketMessage> ReceiveMessage(BorrowedFd socket, std::span<std::byte> buffer,
                                     size_t max_fds) {
  CHECK(max_fds <= kMaxFdsPerMessage);
  iovec vector{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))];
  message.msg_control = control;
  message.msg_controllen = max_fds == 0 ? 0 : CMSG_SPACE(max_fds * sizeof(int));
  const ssize_t size = TEMP_FAILURE_RETRY(recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC));
  if (size < 0) return ErrnoError("recvmsg");
  SocketMessage received;
  received.size = static_cast<size_t>(size);
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      received.fds.emplace_back(fd);
    }
  }
  // There was room for them, and the kernel could not open them: the message is lost, and the
  // limit is ours.
  const bool truncated = (message.msg_flags & MSG_CTRUNC) != 0;
  if (truncated && (message.msg_flags & MSG_TRUNC) == 0 && received.fds.size() < max_fds) {
    errno = EMFILE;
    return ErrnoError("recvmsg: a message's descriptors");
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || received.fds.size() > max_fds) {
    return MakeError(Code::kOutOfRange, "message over the limit of {} bytes and {} fds",
                     buffer.size(), max_fds);
  }
  return received;
}

}  // namespace base
