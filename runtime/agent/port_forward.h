// Connections that the host takes in the pod's name, made again inside the guest: containerd's
// port-forward.
//
// Thread rule: bound to the event loop. Ownership: owns every connection until both its ways have
// ended; destroying it closes them. Bounded: kMaxForwards at once.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/tunnel.h"
#include "runtime/base/unique_fd.h"

namespace agent {

class PortForward {
 public:
  static constexpr size_t kMaxForwards = 256;
  // A connection to the host for forward `id`, its hello already sent.
  using Dial = std::function<base::Result<base::UniqueFd>(uint64_t id)>;

  PortForward(base::EventLoop& loop, Dial dial) : loop_(loop), dial_(std::move(dial)) {}
  PortForward(const PortForward&) = delete;
  PortForward& operator=(const PortForward&) = delete;

  // Connects to TCP `port` of `address` (4 or 16 bytes), then to the host. For 127.0.0.1, ::1 is
  // tried behind it. `done` is called once: kUnavailable if nobody listens, kResourceExhausted
  // beyond kMaxForwards.
  void Open(uint64_t id, const std::string& address, uint32_t port,
            std::function<void(base::Result<void>)> done);

 private:
  struct Forward {
    std::deque<std::string> addresses;  // still to be tried
    uint32_t port = 0;
    base::UniqueFd socket;
    base::Watch connecting;
    std::function<void(base::Result<void>)> done;
    std::unique_ptr<base::Tunnel> tunnel;
  };
  void TryNext(uint64_t id, base::Result<void> before);
  base::Result<void> Connect(Forward& forward, uint64_t id, const std::string& address);
  void OnConnected(uint64_t id);
  base::Result<void> Join(Forward& forward, uint64_t id);
  void Finish(uint64_t id, base::Result<void> result);

  base::EventLoop& loop_;
  const Dial dial_;
  std::map<uint64_t, Forward> forwards_;
};

}  // namespace agent
