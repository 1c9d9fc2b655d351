// Port-forward: what a program in the pod's network namespace on the host connects to there,
// containerd's port-forward above all, is connected to the same address and port inside the guest
// (containerd-shim.md, trap 9).
//
//   kubectl ─► containerd ─127.0.0.1:80 in the namespace─► here ─ForwardPort─► agent ─►
//   127.0.0.1:80
//                                                           ◄── a stream with this forward's id ──
//
// Trust: the guest may answer anything, and dial with any id: an id is good once, for a connection
// that waits for it. Thread rule: reactor-bound, but Listen, which blocks. Ownership: owns every
// connection until both ways have ended. Bounded: kMaxForwards at once; more are reset.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/tunnel.h"
#include "runtime/base/unique_fd.h"
#include "runtime/network/port_listener.h"

namespace pod {

class PortForward {
 public:
  static constexpr size_t kMaxForwards = 256;
  struct Target {
    uint64_t id = 0;
    std::string address;  // 4 or 16 bytes
    uint32_t port = 0;
  };
  // Asks the guest; `done` once, with an error if it cannot be.
  using Ask = std::function<void(const Target&, std::function<void(base::Result<void>)> done)>;

  static base::Result<std::unique_ptr<PortForward>> Create(base::EventLoop& loop,
                                                           network::PortListener listener, Ask ask);
  PortForward(const PortForward&) = delete;
  PortForward& operator=(const PortForward&) = delete;

  // The guest's end of forward `id`, with what it sent already. kNotFound if nobody waits for it.
  base::Result<void> Attach(const std::string& id, base::UniqueFd stream, std::string early);

 private:
  struct Forward {
    base::UniqueFd client;  // until there is a tunnel
    std::unique_ptr<base::Tunnel> tunnel;
  };
  PortForward(base::EventLoop& loop, network::PortListener listener, Ask ask)
      : loop_(loop), listener_(std::move(listener)), ask_(std::move(ask)) {}
  void OnConnection();
  void OnAnswer(uint64_t id, base::Result<void> answer);

  base::EventLoop& loop_;
  network::PortListener listener_;
  const Ask ask_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Forward> forwards_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  base::Watch watch_;
  base::Timer again_;  // after an accept that failed
};

}  // namespace pod
