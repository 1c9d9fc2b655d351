// AF_UNIX sockets and messages that carry descriptors.
//
// Thread rule: reentrant. Every descriptor made here is close-on-exec. A received descriptor is
// owned by the caller; those beyond `max_fds` are closed by the kernel and the message is an error.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace base {

// type: SOCK_STREAM or SOCK_SEQPACKET, may carry SOCK_NONBLOCK.
Result<std::pair<UniqueFd, UniqueFd>> SocketPair(int type);

// Binds and listens. kAlreadyExists if the path is taken (EADDRINUSE). Mode 0600.
Result<UniqueFd> ListenUnix(const std::string& path, int type);
Result<UniqueFd> ConnectUnix(const std::string& path, int type);
Result<UniqueFd> Accept(BorrowedFd listener, int flags = 0);

struct SocketMessage {
  size_t size = 0;  // 0: the peer closed
  std::vector<UniqueFd> fds;
};

// One message, whole or not at all (use with SOCK_SEQPACKET). SIGPIPE is never raised.
// kUnavailable when the peer is gone, kResourceExhausted (EAGAIN) when a non-blocking socket is
// full.
Result<void> SendMessage(BorrowedFd socket, std::span<const std::byte> bytes,
                         std::span<const BorrowedFd> fds = {});
// kOutOfRange if the message is longer than `buffer` or brings more than `max_fds` descriptors
// (all of which are closed). EAGAIN is reported with error_number() == EAGAIN.
// error_number() == EMFILE: its descriptors could not be opened here; it is lost, the next is not.
Result<SocketMessage> ReceiveMessage(BorrowedFd socket, std::span<std::byte> buffer,
                                     size_t max_fds);

}  // namespace base
