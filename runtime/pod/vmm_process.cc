#include "runtime/pod/vmm_process.h"

#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <utility>

#include "agent-proto/proto/vmm_control.pb.h"
#include "runtime/base/log.h"
#include "runtime/base/socket.h"

namespace pod {
namespace {

// The vmm's command line (vmm/README.md): control socket and log pipe.
constexpr int kControlFd = 3;
constexpr int kLogFd = 2;
constexpr uint64_t kNamespaces =
    CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

std::string EndText(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return fmt::format(
        "the vmm was killed by signal {} (SIG{})", WTERMSIG(wait_status),
        sigabbrev_np(WTERMSIG(wait_status)) ? sigabbrev_np(WTERMSIG(wait_status)) : "?");
  }
  return fmt::format("the vmm ended with status {}", WEXITSTATUS(wait_status));
}

}  // namespace

base::Result<std::unique_ptr<VmmProcess>> VmmProcess::Spawn(base::EventLoop& loop,
                                                            const Options& options, Events events) {
  std::unique_ptr<VmmProcess> vmm(new VmmProcess(std::move(events)));
  auto [ours, theirs] = TRY(base::SocketPair(SOCK_SEQPACKET | SOCK_NONBLOCK));
  Pipe log = TRY(MakePipe(/*nonblocking_writer=*/true));
  const std::string id = std::to_string(options.uid);
  base::SubprocessOptions spawn;
  spawn.program = options.program;
  spawn.argv = {"pinion-vmm", "--uid", id, "--gid", id};
  spawn.fds = {{theirs, kControlFd}, {log.write_end, kLogFd}};
  spawn.clone_flags = kNamespaces;
  spawn.new_session = true;
  vmm->process_ = TRY(base::Subprocess::Spawn(spawn));
  vmm->log_ = TRY(LogLinesOf(loop, std::move(log.read_end), "vmm"));
  VmmProcess* const raw = vmm.get();
  vmm->channel_ = TRY(ControlChannel::Create(
      loop, std::move(ours),
      {.on_connect = [raw](uint32_t port,
                           base::UniqueFd fd) { raw->events_.on_connect(port, std::move(fd)); },
       .on_exited = [raw](std::string why) { raw->why_ = std::move(why); },
       // A vmm that closed its socket is about to end; one that broke the protocol must.
       .on_closed = [raw](std::string why) { raw->Kill(std::move(why)); }}));
  vmm->pidfd_watch_ =
      TRY(loop.WatchFd(vmm->process_.pidfd(), EPOLLIN, [raw](uint32_t) { raw->OnProcessEnd(); }));
  return vmm;
}

VmmProcess::~VmmProcess() {
  if (!process_.valid() || reaped_) return;
  static_cast<void>(process_.Signal(SIGKILL));
  static_cast<void>(process_.Wait());
}

void VmmProcess::Request(const pinion::vmm::v1::ToVmm& request,
                         std::span<const base::BorrowedFd> fds,
                         std::function<void(base::Result<void>)> done) {
  channel_->Request(request, fds, std::move(done));
}

void VmmProcess::RequestCpus(const pinion::vmm::v1::ToVmm& request, ControlChannel::CpusDone done) {
  channel_->RequestCpus(request, std::move(done));
}

void VmmProcess::Kill(std::string why) {
  if (reaped_) return;
  if (why_.empty()) why_ = std::move(why);
  const base::Result<void> killed = process_.Signal(SIGKILL);
  if (!killed) LOG_ERROR("vmm: {}", killed.error().Trail());
}

void VmmProcess::OnProcessEnd() {
  base::Result<std::optional<int>> status = process_.TryWait();
  if (status && !*status) return;
  reaped_ = true;
  pidfd_watch_.Cancel();
  log_->Drain();
  if (why_.empty()) {
    why_ = status ? EndText(**status) : "the vmm is gone: " + status.error().Message();
  }
  // Moved out: the handler may destroy this object.
  const auto on_end = std::move(events_.on_end);
  on_end(std::move(why_));
}

}  // namespace pod
