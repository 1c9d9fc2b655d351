// Pod: containers that exist, and the pod's end.
#include "runtime/pod/pod.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "runtime/base/log.h"
#include "runtime/pod/clean_up.h"
#include "runtime/pod/pod_impl.h"

namespace pod {
namespace {

using base::Code;
using base::MakeError;

constexpr uint32_t kKilledStatus = 128 + SIGKILL;
// containerd contract: Delete waits for output to be read, 10 s at most.
constexpr std::chrono::seconds kDrainLimit{10};
// All containers are gone and their files written through: there is little that a kill could lose,
// and containerd waits 3 s for Shutdown.
constexpr std::chrono::seconds kPowerOffLimit{2};

ExitInfo ExitNow(pid_t pid, uint32_t status) {
  ExitInfo exit;
  exit.pid = pid;
  exit.exit_status = status;
  clock_gettime(CLOCK_REALTIME, &exit.exited_at);
  return exit;
}

}  // namespace

Pod::Pod(base::EventLoop& loop, PodOptions options, std::function<void(const Event&)> on_event)
    : loop_(loop), options_(std::move(options)), on_event_(std::move(on_event)), worker_(loop) {}

Pod::~Pod() = default;

base::Result<Pod::ContainerPtr> Pod::FindCreated(const std::string& id,
                                                 const std::string& exec_id) {
  const auto found = containers_.find(id);
  if (found == containers_.end() || !found->second->created()) {
    return MakeError(Code::kNotFound, "container not created");
  }
  if (!exec_id.empty()) return MakeError(Code::kNotFound, "exec {} not created", exec_id);
  return found->second;
}

void Pod::Start(const std::string& id, const std::string& exec_id, PidCallback done) {
  base::Result<ContainerPtr> found = FindCreated(id, exec_id);
  if (!found) return done(std::move(found.error()));
  const ContainerPtr& container = *found;
  base::Result<void> begun = container->init.BeginStart();
  if (!begun) return done(std::move(begun.error()));
  if (!machine_running()) {
    container->init.FinishStart(false);
    return done(MakeError(Code::kUnavailable, "the pod's machine has ended: {}", end_reason_));
  }
  // Asked for before the start, so that no exit can be missed.
  WatchExit(container);
  machine_->agent().Start(id, exec_id,
                          [container, done = std::move(done)](base::Result<void> started) {
                            container->init.FinishStart(started.has_value());
                            if (!started) return done(std::move(started.error()));
                            done(container->pid);
                          });
}

void Pod::WatchExit(const ContainerPtr& container) {
  machine_->agent().Wait(container->request.id, "",
                         [this, weak = std::weak_ptr(container)](base::Result<uint32_t> status) {
                           const ContainerPtr ended = weak.lock();
                           if (!ended) return;
                           if (status) return ProcessEnded(ended, *status);
                           // kUnavailable: the machine is ending, and OnMachineEnd speaks for it.
                           if (status.error().code() == Code::kUnavailable ||
                               ended->init.state() == Process::State::kStopped || ended->deleting) {
                             return;
                           }
                           LOG_ERROR("container {}: {}", ended->request.id, status.error().Trail());
                           if (machine_running())
                             machine_->Kill("the agent lost track of a process");
                         });
}

// The anchor goes first: whoever hears of the exit finds no process under its pid.
void Pod::ProcessEnded(const ContainerPtr& container, uint32_t exit_status) {
  if (container->init.state() == Process::State::kStopped) return;
  EndAnchor(container);
  container->init.Exited(ExitNow(container->pid, exit_status));
}

void Pod::EndAnchor(const ContainerPtr& container) {
  if (!container->anchor) return;
  container->anchor.reset();
  std::vector<ProcessRecord>& processes = state_->record().processes;
  processes.erase(std::remove_if(processes.begin(), processes.end(),
                                 [&](const ProcessRecord& process) {
                                   return process.pid == container->pid && process.role == "anchor";
                                 }),
                  processes.end());
}

base::Result<ProcessState> Pod::State(const std::string& id, const std::string& exec_id) {
  const ContainerPtr container = TRY(FindCreated(id, exec_id));
  ProcessState state;
  state.id = id;
  state.bundle = container->request.bundle;
  state.pid = container->pid;
  state.status = container->init.status();
  state.stdin_path = container->request.stdin_path;
  state.stdout_path = container->request.stdout_path;
  state.stderr_path = container->request.stderr_path;
  state.terminal = container->request.terminal;
  state.exit = container->init.exit();
  return state;
}

void Pod::Wait(const std::string& id, const std::string& exec_id, std::weak_ptr<void> caller,
               ExitCallback done) {
  base::Result<ContainerPtr> found = FindCreated(id, exec_id);
  if (!found) return done(std::move(found.error()));
  (*found)->init.Wait(std::move(caller), std::move(done));
}

void Pod::Kill(const std::string& id, const std::string& exec_id, uint32_t signal, bool all,
               DoneCallback done) {
  base::Result<ContainerPtr> found = FindCreated(id, exec_id);
  if (!found) return done(std::move(found.error()));
  const ContainerPtr& container = *found;
  if (signal > 64) return done(MakeError(Code::kInvalidArgument, "signal {}: 1 to 64", signal));
  const Process::State state = container->init.state();
  if (state == Process::State::kStopped || !machine_running()) {
    return done(MakeError(Code::kNotFound, "process already finished"));
  }
  if (state == Process::State::kCreated) return KillCreated(container, std::move(done));
  machine_->agent().Signal(
      id, exec_id, signal, all, [this, signal, done = std::move(done)](base::Result<void> result) {
        // A guest that does not even answer to a KILL: the machine is all that is left to kill.
        if (!result && signal == SIGKILL && result.error().code() == Code::kDeadlineExceeded &&
            machine_running()) {
          machine_->Kill("the agent did not answer to a KILL");
          result = base::Ok();
        }
        if (!result && result.error().code() == Code::kUnavailable) {
          result = MakeError(Code::kNotFound, "process already finished");
        }
        done(std::move(result));
      });
}

// Nothing runs yet, but the process that waits for Start: any signal ends it, as it ends runc's.
void Pod::KillCreated(const ContainerPtr& container, DoneCallback done) {
  machine_->agent().Signal(container->request.id, "", SIGKILL, true,
                           [this, container, done = std::move(done)](base::Result<void> result) {
                             if (!result)
                               LOG_INFO("kill before start: {}", result.error().Message());
                             ProcessEnded(container, kKilledStatus);
                             done(base::Ok());
                           });
}

void Pod::Delete(const std::string& id, const std::string& exec_id, ExitCallback done) {
  base::Result<ContainerPtr> found = FindCreated(id, exec_id);
  if (!found) return done(std::move(found.error()));
  const ContainerPtr container = *found;
  const Process::State state = container->init.state();
  if (state == Process::State::kRunning || state == Process::State::kStarting) {
    return done(MakeError(Code::kFailedPrecondition, "cannot delete a running process"));
  }
  if (container->deleting) {
    return done(MakeError(Code::kFailedPrecondition, "container {} is being deleted", id));
  }
  container->deleting = true;
  // Never started: deleting it is its end.
  if (state == Process::State::kCreated) ProcessEnded(container, kKilledStatus);
  if (!machine_running()) return DrainAndRemove(container, std::move(done));
  machine_->agent().Delete(id, "", [this, container, done](base::Result<void> deleted) {
    if (!deleted) LOG_WARNING("container {}: {}", container->request.id, deleted.error().Message());
    DrainAndRemove(container, done);
  });
}

void Pod::DrainAndRemove(const ContainerPtr& container, ExitCallback done) {
  const auto removed = [this, container, done](base::Result<void> torn_down) {
    if (!torn_down) LOG_ERROR("container {}: {}", container->request.id, torn_down.error().Trail());
    containers_.erase(container->request.id);
    if (state_ && torn_down) {
      state_->record().rootfs.erase(container->request.id);
      const base::Result<void> saved = state_->Save();
      if (!saved) LOG_WARNING("{}", saved.error().Trail());
    }
    done(*container->init.exit());
  };
  container->stdio.WhenDrained(kDrainLimit, [this, container, removed] {
    if (!state_) return removed(base::Ok());
    worker_.Compute<base::Result<void>>(
        [share = state_->share(), request = container->request] {
          return TearDownContainer(share, request.id, RootfsOf(request));
        },
        removed);
  });
}

void Pod::Pids(const std::string& id, std::function<void(base::Result<std::vector<pid_t>>)> done) {
  base::Result<ContainerPtr> found = FindCreated(id, "");
  if (!found) return done(std::move(found.error()));
  std::vector<pid_t> pids;
  if ((*found)->init.state() != Process::State::kStopped) pids.push_back((*found)->pid);
  done(std::move(pids));
}

base::Result<void> Pod::CloseStdin(const std::string& id, const std::string& exec_id) {
  const ContainerPtr container = TRY(FindCreated(id, exec_id));
  container->stdio.CloseInput();
  return base::Ok();
}

void Pod::OnMachineEnd(std::string why) {
  const bool expected = when_gone_ != nullptr;
  if (!expected) LOG_ERROR("pod {}: the machine has ended: {}", options_.pod_id, why);
  end_reason_ = std::move(why);
  machine_state_ = MachineState::kEnded;
  machine_.reset();
  for (const auto& [id, container] : containers_) {
    if (container->created()) ProcessEnded(container, kKilledStatus);
  }
  FailAllCreates(Code::kUnavailable, "the pod's machine has ended: " + end_reason_);
  if (!expected) return;
  RemoveHostSide([this] {
    if (!shutting_down_) machine_state_ = MachineState::kNone;
    OnMachineGone();
  });
}

void Pod::OnMachineGone() {
  if (const auto done = std::exchange(when_gone_, nullptr)) done();
}

void Pod::RemoveHostSide(std::function<void()> done) {
  if (!state_) return done();
  worker_.Compute<base::Result<void>>([state = state_] { return RemovePod(*state); },
                                      [this, done = std::move(done)](base::Result<void> removed) {
                                        if (!removed)
                                          LOG_ERROR("pod {}: {}", options_.pod_id,
                                                    removed.error().Trail());
                                        state_.reset();
                                        placement_.reset();
                                        done();
                                      });
}

void Pod::Shutdown(std::function<void()> done) {
  const auto before = std::move(when_gone_);
  when_gone_ = [before, done = std::move(done)] {
    if (before) before();
    done();
  };
  shutting_down_ = true;
  switch (machine_state_) {
    case MachineState::kNone:
    case MachineState::kEnded:
      return RemoveHostSide([this] { OnMachineGone(); });
    case MachineState::kRunning:
      return machine_->PowerOff(kPowerOffLimit);
    case MachineState::kStarting:
      if (machine_) machine_->Kill("the pod is shutting down");
      return;
    case MachineState::kEnding:
      return;
  }
}

base::Result<std::unique_ptr<PodInterface>> CreatePod(base::EventLoop& loop, PodOptions options,
                                                      std::function<void(const Event&)> on_event) {
  TRY(CheckId("namespace", options.ns));
  TRY(CheckId("pod id", options.pod_id));
  return std::unique_ptr<PodInterface>(
      std::make_unique<Pod>(loop, std::move(options), std::move(on_event)));
}

}  // namespace pod
