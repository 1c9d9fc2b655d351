// Pod: what is done to a container that runs: terminal size, pause, metrics, and the
// wait for its memory to run out.
#include <utility>

#include "runtime/base/log.h"
#include "runtime/pod/pod_impl.h"
#include "runtime/pod/sum_stats.h"

namespace pod {

using base::Code;
using base::MakeError;

namespace {

// A guest that claims one kill after the other cannot flood containerd's events.
constexpr std::chrono::milliseconds kOomPause{100};

// containerd asks for pids when it comes back, and has 5 s for the whole of a shim then.
constexpr std::chrono::seconds kPidsLimit{2};

}  // namespace

void Pod::Resize(const std::string& id, const std::string& exec_id, uint32_t columns, uint32_t rows,
                 DoneCallback done) {
  base::Result<ProcessPtr> found = FindProcess(id, exec_id);
  if (!found) return done(std::move(found.error()));
  const ProcessPtr& process = *found;
  if (process->process.state() == Process::State::kStopped) {
    return done(MakeError(Code::kFailedPrecondition, "the process has ended"));
  }
  if (!process->paths.terminal) return done(base::Ok());
  if (!process->in_guest) {
    // An exec that was not started: its terminal will be made of this size.
    process->spec.console_size = oci::ConsoleSize{rows, columns};
    return done(base::Ok());
  }
  if (!machine_running()) return done(MachineEnded());
  machine_->agent().Resize(id, exec_id, columns, rows, std::move(done));
}

void Pod::Pause(const std::string& id, DoneCallback done) { Freeze(id, true, std::move(done)); }

void Pod::Resume(const std::string& id, DoneCallback done) { Freeze(id, false, std::move(done)); }

void Pod::Freeze(const std::string& id, bool frozen, DoneCallback done) {
  base::Result<ContainerPtr> found = FindCreated(id);
  if (!found) return done(std::move(found.error()));
  const ContainerPtr& container = *found;
  if (container->init->process.state() != Process::State::kRunning || container->paused == frozen) {
    return done(MakeError(
        Code::kFailedPrecondition, "cannot {} a container that is {}", frozen ? "pause" : "resume",
        container->paused                                              ? "paused"
        : container->init->process.state() == Process::State::kRunning ? "not paused"
                                                                       : "not running"));
  }
  if (container->sandbox()) {
    return done(MakeError(Code::kUnimplemented,
                          "pausing a pod's sandbox container: it has no process in the guest"));
  }
  if (!machine_running()) return done(MachineEnded());
  machine_->agent().Freeze(
      id, frozen, [weak = std::weak_ptr(container), frozen, done](base::Result<void> result) {
        const ContainerPtr owner = weak.lock();
        if (result && owner && owner->init->process.state() == Process::State::kRunning) {
          owner->paused = frozen;
        }
        done(std::move(result));
      });
}

void Pod::Stats(const std::string& id, StatsCallback done) {
  base::Result<ContainerPtr> found = FindCreated(id);
  if (!found) return done(std::move(found.error()));
  if ((*found)->sandbox()) return done(SandboxStats(*found));
  if (!machine_running() || !(*found)->init->in_guest) return done(ContainerStats());
  machine_->agent().Stats(id, std::move(done));
}

void Pod::PodStats(StatsCallback done) {
  std::vector<std::string> ids;
  for (const auto& [id, container] : containers_) ids.push_back(id);
  SumStats(
      ids, [this](const std::string& id, StatsCallback one) { Stats(id, std::move(one)); },
      std::move(done));
}

void Pod::Pids(const std::string& id, PidsCallback done) {
  base::Result<ContainerPtr> found = FindCreated(id);
  if (!found) return done(std::move(found.error()));
  const ContainerPtr& container = *found;
  std::vector<ProcessPid> pids;
  if (container->init->anchor) pids.push_back({container->init->pid, ""});
  for (const auto& [exec_id, exec] : container->execs) {
    if (exec->anchor) pids.push_back({exec->pid, exec_id});
  }
  if (pids.empty() || !machine_running() || !container->init->in_guest) return done(pids);
  machine_->agent().OtherPids(id, kPidsLimit,
                              [pids = std::move(pids), done = std::move(done)](
                                  base::Result<std::vector<pid_t>> others) mutable {
                                if (others) {
                                  for (const pid_t pid : *others) {
                                    pids.push_back({kGuestPids + pid, ""});
                                  }
                                }
                                done(std::move(pids));
                              });
}

void Pod::WatchOom(const ContainerPtr& container, uint64_t seen) {
  machine_->agent().WaitOom(
      container->id(), seen,
      [this, seen, weak = std::weak_ptr(container)](base::Result<uint64_t> kills) {
        const ContainerPtr killed = weak.lock();
        if (!killed || !kills || *kills <= seen || !machine_running()) return;
        on_event_({.kind = Event::Kind::kOom,
                   .container_id = killed->id(),
                   .exec_id = {},
                   .exit = std::nullopt});
        killed->oom_pause = loop_.After(kOomPause, [this, weak, now = *kills] {
          const ContainerPtr again = weak.lock();
          if (again && machine_running()) WatchOom(again, now);
        });
      });
}

}  // namespace pod
