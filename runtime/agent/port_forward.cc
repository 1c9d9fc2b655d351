#include "runtime/agent/port_forward.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace agent {
namespace {

using base::Code;
using base::MakeError;

const std::string kLocalhost4("\x7f\0\0\1", sizeof(in_addr));
const std::string kLocalhost6(reinterpret_cast<const char*>(&in6addr_loopback), sizeof(in6_addr));

// Loopback's packets of 64 KiB make both ends of a connection grow buffers of megabytes for a
// client who is slow; behaving like an Ethernet link, they stay small. Failing costs memory alone.
constexpr int kSegmentBytes = 1460;
constexpr int kReceiveBytes = 64 << 10;

void SaveMemory(base::BorrowedFd socket_fd) {
  setsockopt(socket_fd.get(), IPPROTO_TCP, TCP_MAXSEG, &kSegmentBytes, sizeof(kSegmentBytes));
  setsockopt(socket_fd.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBytes, sizeof(kReceiveBytes));
}

base::Result<socklen_t> AddressOf(const std::string& address, uint32_t port,
                                  sockaddr_storage* out) {
  if (port == 0 || port > UINT16_MAX) {
    return MakeError(Code::kInvalidArgument, "port {}: must be 1 to {}", port, UINT16_MAX);
  }
  if (address.size() == sizeof(in_addr)) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(static_cast<uint16_t>(port));
    std::memcpy(&in.sin_addr, address.data(), address.size());
    std::memcpy(out, &in, sizeof(in));
    return socklen_t{sizeof(in)};
  }
  if (address.size() == sizeof(in6_addr)) {
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(static_cast<uint16_t>(port));
    std::memcpy(&in6.sin6_addr, address.data(), address.size());
    std::memcpy(out, &in6, sizeof(in6));
    return socklen_t{sizeof(in6)};
  }
  return MakeError(Code::kInvalidArgument, "address of {} bytes: must be 4 or 16", address.size());
}

}  // namespace

void PortForward::Open(uint64_t id, const std::string& address, uint32_t port,
                       std::function<void(base::Result<void>)> done) {
  if (forwards_.size() >= kMaxForwards) {
    return done(MakeError(Code::kResourceExhausted, "{} connections are forwarded already",
                          forwards_.size()));
  }
  const auto [place, is_new] = forwards_.try_emplace(id);
  if (!is_new) return done(MakeError(Code::kAlreadyExists, "forward {} exists", id));
  Forward& forward = place->second;
  forward.addresses.push_back(address);
  if (address == kLocalhost4) forward.addresses.push_back(kLocalhost6);
  forward.port = port;
  forward.done = std::move(done);
  TryNext(id, base::Ok());
}

// `before`: how the address before went. The first failure is the one that is told.
void PortForward::TryNext(uint64_t id, base::Result<void> before) {
  Forward& forward = forwards_.at(id);
  while (!forward.addresses.empty()) {
    const std::string address = std::move(forward.addresses.front());
    forward.addresses.pop_front();
    base::Result<void> connecting = Connect(forward, id, address);
    if (connecting) return;
    if (before) before = std::move(connecting);
  }
  Finish(id, std::move(before));
}

base::Result<void> PortForward::Connect(Forward& forward, uint64_t id, const std::string& address) {
  sockaddr_storage target{};
  const socklen_t size = TRY(AddressOf(address, forward.port, &target));
  forward.socket.Reset(socket(target.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!forward.socket) return base::ErrnoError("socket");
  SaveMemory(forward.socket);
  if (connect(forward.socket.get(), reinterpret_cast<const sockaddr*>(&target), size) != 0 &&
      errno != EINPROGRESS) {
    return base::ErrnoError("connect to port {}", forward.port);
  }
  forward.connecting =
      TRY(loop_.WatchFd(forward.socket, EPOLLOUT, [this, id](uint32_t) { OnConnected(id); }));
  return base::Ok();
}

void PortForward::OnConnected(uint64_t id) {
  Forward& forward = forwards_.at(id);
  forward.connecting.Cancel();
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(forward.socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) {
    return TryNext(id, MakeError(Code::kUnavailable, "connect to port {}: {}", forward.port,
                                 strerrordesc_np(error)));
  }
  Finish(id, Join(forward, id));
}

base::Result<void> PortForward::Join(Forward& forward, uint64_t id) {
  base::UniqueFd host = TRY(dial_(id));
  forward.tunnel = TRY(base::Tunnel::Start(loop_, std::move(forward.socket), std::move(host), {},
                                           [this, id] { forwards_.erase(id); }));
  return base::Ok();
}

void PortForward::Finish(uint64_t id, base::Result<void> result) {
  const auto found = forwards_.find(id);
  const auto done = std::move(found->second.done);
  if (!result) forwards_.erase(found);
  done(std::move(result));
}

}  // namespace agent
