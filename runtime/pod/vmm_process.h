// One pinion-vmm: its process, control channel and log.
//
// Thread rule: reactor-bound. Ownership: destroying it kills the process, if it still runs, and
// reaps it. Trust: see ControlChannel; its log lines are escaped and rate-limited.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/subprocess.h"
#include "runtime/base/unique_fd.h"
#include "runtime/pod/control_channel.h"
#include "runtime/pod/line_reader.h"

namespace pinion::vmm::v1 {
class ToVmm;
}

namespace pod {

class VmmProcess {
 public:
  struct Options {
    std::string program;
    uid_t uid = 0;  // also the gid; nobody else's on this host
  };
  struct Events {
    std::function<void(uint32_t host_port, base::UniqueFd socket)> on_connect;
    // Once, when the process has been reaped; `why` is a clause for people.
    std::function<void(std::string why)> on_end;
  };

  static base::Result<std::unique_ptr<VmmProcess>> Spawn(base::EventLoop& loop,
                                                         const Options& options, Events events);
  ~VmmProcess();
  VmmProcess(const VmmProcess&) = delete;
  VmmProcess& operator=(const VmmProcess&) = delete;

  // As ControlChannel::Request.
  void Request(const pinion::vmm::v1::ToVmm& request, std::span<const base::BorrowedFd> fds,
               std::function<void(base::Result<void>)> done);
  void RequestCpus(const pinion::vmm::v1::ToVmm& request, ControlChannel::CpusDone done);
  // Ends it; on_end follows with `why`, unless the vmm had said why itself.
  void Kill(std::string why);
  pid_t pid() const { return process_.pid(); }

 private:
  explicit VmmProcess(Events events) : events_(std::move(events)) {}
  void OnProcessEnd();

  Events events_;
  base::Subprocess process_;
  bool reaped_ = false;
  std::string why_;
  std::unique_ptr<LineReader> log_;
  std::unique_ptr<ControlChannel> channel_;
  base::Watch pidfd_watch_;
};

}  // namespace pod
