#include "runtime/pod/port_forward.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "runtime/base/log.h"

namespace pod {
namespace {

constexpr std::chrono::milliseconds kAcceptPause{100};

// Where the client meant to go. IPv4 comes as an IPv4-mapped address on a socket of both families.
base::Result<PortForward::Target> TargetOf(base::BorrowedFd client, uint64_t id) {
  sockaddr_storage local{};
  socklen_t size = sizeof(local);
  if (getsockname(client.get(), reinterpret_cast<sockaddr*>(&local), &size) != 0) {
    return base::ErrnoError("getsockname");
  }
  if (local.ss_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, &local, sizeof(in));
    return PortForward::Target{
        id, std::string(reinterpret_cast<const char*>(&in.sin_addr), sizeof(in.sin_addr)),
        ntohs(in.sin_port)};
  }
  sockaddr_in6 in6;
  std::memcpy(&in6, &local, sizeof(in6));
  std::string address(reinterpret_cast<const char*>(&in6.sin6_addr), sizeof(in6.sin6_addr));
  if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) address.erase(0, 12);
  return PortForward::Target{id, std::move(address), ntohs(in6.sin6_port)};
}

// The client sees "connection reset" rather than an orderly end.
void ResetConnection(base::UniqueFd client) {
  const linger at_once{1, 0};
  static_cast<void>(setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
}

}  // namespace

base::Result<std::unique_ptr<PortForward>> PortForward::Create(base::EventLoop& loop,
                                                               network::PortListener listener,
                                                               Ask ask) {
  std::unique_ptr<PortForward> made(new PortForward(loop, std::move(listener), std::move(ask)));
  made->watch_ = TRY(loop.WatchFd(made->listener_.socket, EPOLLIN,
                                  [raw = made.get()](uint32_t) { raw->OnConnection(); }));
  return made;
}

void PortForward::OnConnection() {
  base::UniqueFd client(
      accept4(listener_.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client) {
    // It went meanwhile, or there is no descriptor for it (EMFILE): a later look costs little,
    // where epoll would repeat it for ever.
    static_cast<void>(watch_.SetEvents(0));
    again_ = loop_.After(kAcceptPause, [this] { static_cast<void>(watch_.SetEvents(EPOLLIN)); });
    return;
  }
  const uint64_t id = next_id_++;
  base::Result<Target> target = TargetOf(client, id);
  if (!target || forwards_.size() >= kMaxForwards) {
    LOG_WARNING("port-forward: {} connections already, or one without a target: reset",
                forwards_.size());
    return ResetConnection(std::move(client));
  }
  forwards_[id].client = std::move(client);
  ask_(*target, [this, id, alive = std::weak_ptr(alive_)](base::Result<void> answer) {
    if (!alive.expired()) OnAnswer(id, std::move(answer));
  });
}

void PortForward::OnAnswer(uint64_t id, base::Result<void> answer) {
  const auto found = forwards_.find(id);
  // The stream comes, or has come; one that is there is good, whatever the answer.
  if (answer || found == forwards_.end() || !found->second.client) return;
  LOG_INFO("port-forward: {}", answer.error().Message());
  ResetConnection(std::move(found->second.client));
  forwards_.erase(found);
}

base::Result<void> PortForward::Attach(const std::string& id, base::UniqueFd stream,
                                       std::string early) {
  uint64_t number = 0;
  const auto parsed = std::from_chars(id.data(), id.data() + id.size(), number);
  const auto found = forwards_.find(number);
  if (parsed.ec != std::errc() || parsed.ptr != id.data() + id.size() || found == forwards_.end() ||
      !found->second.client) {
    return base::MakeError(base::Code::kNotFound, "no connection waits for this forward");
  }
  Forward& forward = found->second;
  auto tunnel = base::Tunnel::Start(loop_, std::move(forward.client), std::move(stream),
                                    std::move(early), [this, number] { forwards_.erase(number); });
  if (!tunnel) {
    forwards_.erase(found);
    return std::move(tunnel.error());
  }
  forward.tunnel = std::move(*tunnel);
  return base::Ok();
}

}  // namespace pod
