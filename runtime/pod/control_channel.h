// The shim's side of vmm_control.proto: requests with their answers, and events, over one
// SOCK_SEQPACKET socket.
//
// Trust: the vmm is not believed. A message over 64 KiB or with more than 8 descriptors, an answer
// to nothing, an event that is none, a descriptor that is no AF_UNIX stream socket, or a vmm that
// does not read: each ends the channel. Thread rule: reactor-bound. Ownership: owns the socket.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/pod/line_reader.h"

namespace pinion::vmm::v1 {
class FromVmm;
class ToVmm;
}  // namespace pinion::vmm::v1

namespace pod {

// Descriptors in one message, either way (vmm_control.proto).
inline constexpr size_t kMaxControlFds = 8;

class ControlChannel {
 public:
  struct Events {
    // A guest's connection to `host_port`; the socket is non-blocking.
    std::function<void(uint32_t host_port, base::UniqueFd socket)> on_connect;
    // The vmm's last words: why the machine ended.
    std::function<void(std::string why)> on_exited;
    // Once; no callback follows it. `why` is empty if the vmm closed its end, else what it did
    // wrong. Requests that wait for an answer have failed before.
    std::function<void(std::string why)> on_closed;
  };

  static base::Result<std::unique_ptr<ControlChannel>> Create(base::EventLoop& loop,
                                                              base::UniqueFd socket, Events events);
  ~ControlChannel();
  ControlChannel(const ControlChannel&) = delete;
  ControlChannel& operator=(const ControlChannel&) = delete;

  // Gives `request` an id and sends it with `fds`. `done` is called once, later, with the vmm's
  // code and message or kUnavailable; never after the channel is gone.
  void Request(pinion::vmm::v1::ToVmm request, std::span<const base::BorrowedFd> fds,
               std::function<void(base::Result<void>)> done);
  // AddCpus or RemoveCpus: `cpus` are those that came or went, also with an error.
  using CpusDone = std::function<void(base::Result<void>, std::vector<uint32_t> cpus)>;
  void RequestCpus(pinion::vmm::v1::ToVmm request, CpusDone done);

 private:
  using Done = CpusDone;
  void Send(pinion::vmm::v1::ToVmm request, std::span<const base::BorrowedFd> fds, Done done);

  ControlChannel(base::EventLoop& loop, base::UniqueFd socket, Events events);
  void OnReadable();
  base::Result<void> Handle(const pinion::vmm::v1::FromVmm& message,
                            std::vector<base::UniqueFd> fds);
  base::Result<void> HandleAnswer(const pinion::vmm::v1::FromVmm& message);
  void Close(std::string why);

  base::EventLoop& loop_;
  base::UniqueFd socket_;
  Events events_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Done> pending_;
  std::vector<std::byte> buffer_;
  LimitedLog log_{"vsock"};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  base::Watch watch_;
};

}  // namespace pod
