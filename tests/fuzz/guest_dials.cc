// Connections that a hostile guest makes to the port of streams, some with what looks like the
// agent's hello, and port-forward behind it: ids of its choice, answers of its choice, and clients
// on the host who come and go meanwhile.
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "agent-proto/proto/agent.pb.h"
#include "runtime/base/socket.h"
#include "runtime/pod/port_forward.h"
#include "runtime/pod/stream_acceptor.h"
#include "tests/fuzz/input.h"

namespace {

using pinion::agent::v1::StreamHello;

constexpr const char* kToken = "token";

base::EventLoop& Loop() {
  static auto loop = base::EventLoop::Create();
  return **loop;
}

// A socket of no port: millions of connections leave nothing behind.
base::UniqueFd Listen(sockaddr_un* address, socklen_t* size) {
  base::UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  address->sun_family = AF_UNIX;
  // unix(7), "Autobind feature"
  if (bind(listener.get(), reinterpret_cast<sockaddr*>(address), sizeof(sa_family_t)) != 0 ||
      listen(listener.get(), 8) != 0) {
    abort();
  }
  *size = sizeof(*address);
  if (getsockname(listener.get(), reinterpret_cast<sockaddr*>(address), size) != 0) abort();
  return listener;
}

class Pod {
 public:
  Pod() {
    forward_ = std::move(*pod::PortForward::Create(
        Loop(), {Listen(&address_, &address_size_), {}},
        [this](const pod::PortForward::Target&, std::function<void(base::Result<void>)> done) {
          asked_.push_back(std::move(done));
        }));
  }

  void Step(Input& input) {
    const uint8_t what = input.Byte();
    base::UniqueFd& guest = guests_[what >> 4 & 3];
    base::UniqueFd& client = clients_[what >> 6];
    switch (what & 7) {
      case 0:
        return Dial(guest);
      case 1:
        return SendTo(guest, input.Bytes());
      case 2:
        return SendTo(guest, Hello(input));
      case 3:
        return guest.Reset();
      case 4:
        client.Reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        (void)connect(client.get(), reinterpret_cast<sockaddr*>(&address_), address_size_);
        return;
      case 5:
        if ((what & 8) != 0) return client.Reset();
        return SendTo(client, input.Bytes());
      case 6:
        return Answer((what & 8) != 0);
      default:
        return Turn();
    }
  }
  void Turn() {
    (void)!Loop().RunOnce(std::chrono::milliseconds(0));
    if (acceptor_.pending() > pod::StreamAcceptor::kMaxPending) abort();
    for (const auto* sockets : {&guests_, &clients_}) {
      for (const base::UniqueFd& socket : *sockets) {
        char sink[4096];
        while (socket && recv(socket.get(), sink, sizeof sink, MSG_DONTWAIT) > 0) {
        }
      }
    }
  }

 private:
  void Dial(base::UniqueFd& guest) {
    auto pair = base::SocketPair(SOCK_STREAM | SOCK_NONBLOCK);
    if (!pair) return;
    guest = std::move(pair->first);
    acceptor_.Accept(std::move(pair->second));
  }
  static void SendTo(const base::UniqueFd& socket, const std::string& bytes) {
    if (socket) (void)send(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  static std::string Hello(Input& input) {
    StreamHello hello;
    const uint8_t how = input.Byte();
    if ((how & 1) == 0) hello.set_token(kToken);
    hello.set_kind((how & 2) == 0 ? StreamHello::FORWARD
                                  : static_cast<StreamHello::Kind>(input.Byte()));
    hello.set_exec_id((how & 4) == 0 ? std::to_string(how >> 4) : input.Bytes());
    return stream::Encode(hello.SerializeAsString());
  }
  void Answer(bool good) {
    if (asked_.empty()) return;
    const auto done = std::move(asked_.back());
    asked_.pop_back();
    if (good) return done(base::Ok());
    done(base::MakeError(base::Code::kUnavailable, "nobody listens"));
  }
  // As Pod::OnStream does.
  void OnStream(pod::GuestStream stream) {
    if (!stream.forward) return;
    (void)forward_->Attach(stream.exec_id, std::move(stream.socket), stream.decoder.TakeRest())
        .has_value();
  }

  sockaddr_un address_{};
  socklen_t address_size_ = 0;
  std::vector<std::function<void(base::Result<void>)>> asked_;
  std::unique_ptr<pod::PortForward> forward_;
  pod::StreamAcceptor acceptor_{Loop(), kToken,
                                [this](pod::GuestStream stream) { OnStream(std::move(stream)); }};
  std::array<base::UniqueFd, 4> guests_;
  std::array<base::UniqueFd, 4> clients_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  Pod pod;
  while (!input.empty()) pod.Step(input);
  for (int i = 0; i < 4; ++i) pod.Turn();
  return 0;
}
