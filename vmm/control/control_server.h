// ControlServer: the vmm's end of the line to the shim (agent-proto/proto/vmm_control.proto).
//
//   CreateVm ─► Configure ─► Run ─► (Pause ─► Resume | AddCpus | RemoveCpus | PlugNet)* ─► Exited,
//   then Done
//
// Thread rule: bound to the reactor. When the shim's end is closed the process ends at once, for
// nobody is left to run the guest for.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/machine.h"

namespace pinion::vmm::v1 {
class FromVmm;
class ToVmm;
}  // namespace pinion::vmm::v1

namespace vmm {

class ControlServer {
 public:
  struct Filters {
    std::function<base::Result<void>()> device;  // the reactor, before the vCPU threads are made
    std::function<base::Result<void>()> vcpu;    // each vCPU thread
  };

  // `loop` is borrowed; Stop is called on it when the line is closed or the machine has ended.
  static base::Result<std::unique_ptr<ControlServer>> Create(base::UniqueFd socket,
                                                             base::EventLoop& loop,
                                                             Filters filters);

 private:
  enum class State { kIdle, kConfigured, kRunning, kPausing, kPaused, kEnded };

  ControlServer(base::UniqueFd socket, base::EventLoop& loop, Filters filters);
  void OnReadable();
  void Dispatch(const pinion::vmm::v1::ToVmm& message, std::vector<base::UniqueFd> fds);
  base::Result<void> Handle(const pinion::vmm::v1::ToVmm& message, std::vector<base::UniqueFd> fds,
                            bool& reply_later);
  base::Result<void> CreateVm(const pinion::vmm::v1::ToVmm& message,
                              std::vector<base::UniqueFd> fds);
  base::Result<void> Configure(const pinion::vmm::v1::ToVmm& message,
                               std::vector<base::UniqueFd> fds);
  base::Result<void> Pause(uint64_t id);
  base::Result<void> Resize(const pinion::vmm::v1::ToVmm& message);
  void Reply(uint64_t id, const base::Result<void>& result, std::span<const uint32_t> cpus = {});
  base::Result<void> Send(const pinion::vmm::v1::FromVmm& message,
                          base::BorrowedFd fd = base::BorrowedFd());
  base::Result<void> OnVsockConnect(uint32_t host_port, uint32_t guest_port, base::UniqueFd stream);
  void OnStopped(const Stop& stop);
  void End();

  base::UniqueFd socket_;
  base::EventLoop& loop_;
  const Filters filters_;
  State state_ = State::kIdle;
  std::vector<std::byte> buffer_;
  base::Watch watch_;
  std::optional<EmptyVm> vm_;  // from CreateVm to Configure
  std::unique_ptr<Machine> machine_;
};

}  // namespace vmm
