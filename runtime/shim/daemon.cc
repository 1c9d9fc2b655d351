#include "runtime/shim/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/base/fd_limit.h"
#include "runtime/base/log.h"
#include "runtime/cgroup/hierarchy.h"
#include "runtime/pod/pod.h"
#include "runtime/shim/bundle_log.h"
#include "runtime/shim/no_pod.h"
#include "runtime/shim/publisher.h"
#include "runtime/shim/sandbox_service.h"
#include "runtime/shim/streaming_service.h"
#include "runtime/shim/task_service.h"

namespace shim {
namespace {

// The pod's own end has limits too; this one only keeps a daemon from staying for ever.
constexpr std::chrono::seconds kShutdownLimit(10);
// containerd waits 3 s for the answer to Shutdown, and since 2.4 fails a Delete without it: what
// the end of the machine leaves of this is for the events.
constexpr std::chrono::milliseconds kAnswerLimit(2500);
constexpr std::chrono::milliseconds kLeastFlushLimit(100);

base::Result<base::UniqueFd> BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGUSR1);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return base::ErrnoError("sigprocmask");
  signal(SIGPIPE, SIG_IGN);
  base::UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return base::ErrnoError("signalfd");
  return fd;
}

std::string Environment(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? std::string() : value;
}

MetricsVersion HostMetrics() {
  return cgroup::Hierarchies::Host().V2() != nullptr ? MetricsVersion::kV2 : MetricsVersion::kV1;
}

class Daemon {
 public:
  Daemon(base::EventLoop& loop, const Flags& flags, const MakeTransport& make_transport)
      : loop_(loop),
        flags_(flags),
        publisher_(loop, {.address = Environment("TTRPC_ADDRESS"), .ns = flags.ns}),
        streams_(loop),
        pod_(MakePod()),
        tasks_(*pod_, publisher_, HostMetrics(),
               [this](std::function<void()> freed) { ShutDown(std::move(freed)); }),
        sandbox_(*pod_, HostMetrics(), flags.config,
                 [this](std::function<void()> freed) { ShutDown(std::move(freed)); }),
        make_transport_(make_transport) {
    tasks_.RegisterIn(table_);
    sandbox_.RegisterIn(table_);
    streams_.RegisterIn(table_);
  }

  base::Result<void> Serve(base::UniqueFd listener, base::UniqueFd signals) {
    signals_ = std::move(signals);
    signal_watch_ = TRY(loop_.WatchFd(signals_, EPOLLIN, [this](uint32_t) { OnSignal(); }));
    server_ = TRY(make_transport_(loop_, table_));
    TRY(server_->Listen(std::move(listener)));
    LOG_INFO("pod {} of namespace {}: shim {} serves", flags_.key, flags_.ns, getpid());
    return loop_.Run();
  }

 private:
  std::unique_ptr<pod::PodInterface> MakePod() {
    auto pod = pod::CreatePod(loop_, {flags_.ns, flags_.key, flags_.debug, &streams_},
                              [this](const pod::Event& event) { tasks_.OnPodEvent(event); });
    if (pod) return std::move(*pod);
    LOG_ERROR("pod {}: {}", flags_.key, pod.error().Trail());
    return std::make_unique<NoPod>(pod.error());
  }

  void OnSignal() {
    signalfd_siginfo info{};
    while (read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      if (info.ssi_signo == SIGUSR1) {
        LOG_INFO("pod {}: {} containers, {} events queued\n{}", flags_.key, pod_->container_count(),
                 publisher_.queued(), tasks_.Dump());
      } else {
        LOG_INFO("pod {}: ends by signal {}", flags_.key, info.ssi_signo);
        ShutDown({});
      }
    }
  }

  // Frees the pod, says so, then ends: pod, events, socket, answer, answers written out.
  void ShutDown(std::function<void()> freed) {
    if (finished_ && freed) return freed();
    if (freed) freed_.push_back(std::move(freed));
    if (shutting_down_) return;
    shutting_down_ = true;
    limit_ = loop_.After(kShutdownLimit, [this] {
      LOG_ERROR("pod {}: not down after {} s", flags_.key, kShutdownLimit.count());
      unlink(flags_.socket.c_str());
      loop_.Stop();
    });
    const auto begun = std::chrono::steady_clock::now();
    pod_->Shutdown([this, begun] {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          begun + kAnswerLimit - std::chrono::steady_clock::now());
      publisher_.Flush(std::max(left, kLeastFlushLimit), [this] { Finish(); });
    });
  }

  void Finish() {
    // Before the answer: containerd may start a shim of this key as soon as it has it.
    unlink(flags_.socket.c_str());
    server_->StopListening();
    // From here on the path may be another daemon's.
    limit_ = loop_.After(kShutdownLimit, [this] { loop_.Stop(); });
    finished_ = true;
    for (const auto& freed : freed_) freed();
    server_->WhenFlushed([this] { loop_.Stop(); });
  }

  base::EventLoop& loop_;
  const Flags& flags_;
  Publisher publisher_;
  StreamingService streams_;
  std::unique_ptr<pod::PodInterface> pod_;
  TaskService tasks_;
  SandboxService sandbox_;
  ttrpc::ServiceTable table_;
  const MakeTransport& make_transport_;
  std::unique_ptr<ttrpc::Transport> server_;
  base::UniqueFd signals_;
  base::Watch signal_watch_;
  base::Timer limit_;
  std::vector<std::function<void()>> freed_;  // who waits for it
  bool shutting_down_ = false;
  bool finished_ = false;
};

}  // namespace

base::Result<void> RunDaemon(const Flags& flags, const MakeTransport& make_transport) {
  // What runc's shim is called, too: tools look for it. Our file name would be cut to the same.
  prctl(PR_SET_NAME, "containerd-shim");
  OpenBundleLog(flags.debug);
  // Some ten for each process of the pod, two for each forwarded connection.
  const base::Result<void> raised = base::RaiseFdLimit();
  if (!raised) LOG_WARNING("{}", raised.error().Message());
  base::UniqueFd listener(kListenerFd);
  if (fcntl(listener.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return base::ErrnoError("fd {}: no listening socket was handed over", kListenerFd);
  }
  base::UniqueFd signals = TRY(BlockSignals());
  const std::unique_ptr<base::EventLoop> loop = TRY(base::EventLoop::Create());
  Daemon daemon(*loop, flags, make_transport);
  base::Result<void> served = daemon.Serve(std::move(listener), std::move(signals));
  if (!served) LOG_ERROR("{}", served.error().Trail());
  LOG_INFO("pod {}: shim ends", flags.key);
  return served;
}

}  // namespace shim
