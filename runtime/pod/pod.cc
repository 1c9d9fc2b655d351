// Pod: containers that exist, and the pod's end.
#include "runtime/pod/pod.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "runtime/base/log.h"
#include "runtime/cgroup/pod_cgroup.h"
#include "runtime/pod/bundle_record.h"
#include "runtime/pod/clean_up.h"
#include "runtime/pod/pod_impl.h"

namespace pod {
namespace {

using base::Code;
using base::MakeError;

// All containers are gone and their files written through: there is little that a kill could lose,
// and containerd waits 3 s for Shutdown, of which the host's side takes its part.
constexpr std::chrono::seconds kPowerOffLimit{1};

}  // namespace

ExitInfo ExitNow(pid_t pid, uint32_t status) {
  ExitInfo exit;
  exit.pid = pid;
  exit.exit_status = status;
  clock_gettime(CLOCK_REALTIME, &exit.exited_at);
  return exit;
}

Pod::Pod(base::EventLoop& loop, PodOptions options, std::function<void(const Event&)> on_event)
    : loop_(loop), options_(std::move(options)), on_event_(std::move(on_event)), worker_(loop) {}

Pod::~Pod() = default;

base::Result<ContainerPtr> Pod::FindCreated(const std::string& id) const {
  const auto found = containers_.find(id);
  if (found != containers_.end() && found->second->created()) return found->second;
  return MakeError(Code::kNotFound, "container not created");
}

base::Result<ProcessPtr> Pod::FindProcess(const std::string& id, const std::string& exec_id) const {
  const ContainerPtr container = TRY(FindCreated(id));
  if (exec_id.empty()) return container->init;
  const auto found = container->execs.find(exec_id);
  if (found != container->execs.end()) return found->second;
  return MakeError(Code::kNotFound, "exec {} not created", base::Escaped(exec_id, 80));
}

base::Error Pod::MachineEnded() const {
  return MakeError(Code::kUnavailable, "the pod's machine has ended: {}", end_reason_);
}

void Pod::Start(const std::string& id, const std::string& exec_id, PidCallback done) {
  base::Result<ProcessPtr> found = FindProcess(id, exec_id);
  if (!found) return done(std::move(found.error()));
  const ContainerPtr& container = containers_.at(id);
  const ProcessPtr& process = *found;
  if (!exec_id.empty()) return StartExec(container, process, std::move(done));
  base::Result<void> begun = process->process.BeginStart();
  if (!begun) return done(std::move(begun.error()));
  if (!machine_running()) {
    process->process.FinishStart(false);
    return done(MachineEnded());
  }
  const auto on_started = [this, container, process, done](base::Result<pid_t> started) {
    if (!started) {
      process->process.FinishStart(false);
      return done(std::move(started));
    }
    // runtime.md "Lifecycle", 9: one that fails is a warning, and the container goes on.
    CallHooks(container, "running", container->hooks.hooks.poststart,
              [process, done](base::Result<void> hooked) {
                if (!hooked) LOG_WARNING("poststart: {}", hooked.error().Trail());
                process->process.FinishStart(true);
                done(process->pid);
              });
  };
  if (container->sandbox()) return on_started(process->pid);
  JoinLateNetwork([this, container, process, on_started](base::Result<void> joined) {
    if (!joined) return on_started(std::move(joined.error()));
    if (!machine_running()) return on_started(MachineEnded());
    StartInGuest(container, process, on_started);
  });
}

void Pod::StartInGuest(const ContainerPtr& container, const ProcessPtr& process, PidCallback done) {
  // Asked for before the start, so that no exit can be missed.
  WatchExit(container, process);
  machine_->agent().Start(container->id(), process->exec_id,
                          [process, done = std::move(done)](base::Result<void> started) {
                            if (!started) return done(std::move(started.error()));
                            done(process->pid);
                          });
}

void Pod::WatchExit(const ContainerPtr& container, const ProcessPtr& process) {
  machine_->agent().Wait(
      container->id(), process->exec_id,
      [this, id = container->id(), weak = std::weak_ptr(process)](base::Result<uint32_t> status) {
        const ProcessPtr ended = weak.lock();
        if (!ended) return;
        if (status) {
          const auto found = containers_.find(id);
          if (ended->exec_id.empty() && found != containers_.end()) {
            return ContainerEnded(found->second, *status);
          }
          return ProcessEnded(ended, *status);
        }
        // kUnavailable: the machine is ending, and OnMachineEnd speaks for it.
        if (status.error().code() == Code::kUnavailable ||
            ended->process.state() == Process::State::kStopped || ended->deleting) {
          return;
        }
        LOG_ERROR("container {} exec \"{}\": {}", id, ended->exec_id, status.error().Trail());
        if (machine_running()) machine_->Kill("the agent lost track of a process");
      });
}

// The anchor goes first: whoever hears of the exit finds no process under its pid.
void Pod::ProcessEnded(const ProcessPtr& process, uint32_t exit_status) {
  if (process->process.state() == Process::State::kStopped) return;
  EndAnchor(process);
  process->process.Exited(ExitNow(process->pid, exit_status));
}

// The init's end is the container's: whatever the guest has said of them, its execs have ended
// before it. One that never started has no exit, as nobody was told of a start.
void Pod::ContainerEnded(const ContainerPtr& container, uint32_t exit_status) {
  for (const auto& [exec_id, exec] : container->execs) {
    if (exec->process.state() != Process::State::kCreated) ProcessEnded(exec, kKilledStatus);
  }
  container->paused = false;
  if (std::exchange(container->ended, true)) return;
  // containerd (client/task.go, Delete) stops reading from streams as soon as it hears of the exit,
  // so it hears of it when it has read them.
  const ProcessPtr& init = container->init;
  EndAnchor(init);
  const ExitInfo exit = ExitNow(init->pid, exit_status);
  // First of all: it is what `delete` can tell if this shim ends before it has told anybody.
  const base::Result<void> recorded = RecordExit(container->request.bundle, exit);
  if (!recorded) LOG_WARNING("container {}: {}", container->id(), recorded.error().Trail());
  init->stdio.WhenTaken(shutting_down_ ? std::chrono::nanoseconds(0) : kDrainLimit,
                        [weak = std::weak_ptr(init), exit] {
                          if (const ProcessPtr ended = weak.lock()) ended->process.Exited(exit);
                        });
}

void Pod::EndAnchor(const ProcessPtr& process) {
  if (!process->anchor) return;
  process->anchor.reset();
  if (machine_) machine_->DropOomScore(process->pid);
  std::vector<ProcessRecord>& processes = state_->record().processes;
  processes.erase(std::remove_if(processes.begin(), processes.end(),
                                 [&](const ProcessRecord& record) {
                                   return record.pid == process->pid && record.role == "anchor";
                                 }),
                  processes.end());
}

base::Result<ProcessState> Pod::State(const std::string& id, const std::string& exec_id) {
  const ProcessPtr process = TRY(FindProcess(id, exec_id));
  const ContainerPtr& container = containers_.at(id);
  ProcessState state;
  state.id = id;
  state.exec_id = exec_id;
  state.bundle = container->request.bundle;
  state.pid = process->pid;
  state.status = process->process.status();
  if (container->paused && state.status == Status::kRunning) state.status = Status::kPaused;
  state.stdin_path = process->paths.in;
  state.stdout_path = process->paths.out;
  state.stderr_path = process->paths.err;
  state.terminal = process->paths.terminal;
  state.exit = process->process.exit();
  return state;
}

void Pod::Wait(const std::string& id, const std::string& exec_id, std::weak_ptr<void> caller,
               ExitCallback done) {
  base::Result<ProcessPtr> found = FindProcess(id, exec_id);
  if (!found) return done(std::move(found.error()));
  (*found)->process.Wait(std::move(caller), std::move(done));
}

void Pod::Kill(const std::string& id, const std::string& exec_id, uint32_t signal, bool all,
               DoneCallback done) {
  base::Result<ProcessPtr> found = FindProcess(id, exec_id);
  if (!found) return done(std::move(found.error()));
  if (signal < 1 || signal > 64) {
    return done(MakeError(Code::kInvalidArgument, "signal {}: 1 to 64 is wanted", signal));
  }
  const Process::State state = (*found)->process.state();
  if (state == Process::State::kStopped || !machine_running()) {
    return done(MakeError(Code::kNotFound, "process already finished"));
  }
  if (containers_.at(id)->sandbox()) return KillSandbox(containers_.at(id), signal, done);
  // Upon this containerd (client/task_opts.go, WithProcessKill) goes on to Delete, which may come.
  if (!exec_id.empty() && !(*found)->in_guest) {
    return done(MakeError(Code::kFailedPrecondition, "exec {} was not started", exec_id));
  }
  if (state == Process::State::kCreated) return KillCreated(containers_.at(id), std::move(done));
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
  machine_->agent().Signal(container->id(), "", SIGKILL, true,
                           [this, container, done = std::move(done)](base::Result<void> result) {
                             if (!result)
                               LOG_INFO("kill before start: {}", result.error().Message());
                             ContainerEnded(container, kKilledStatus);
                             done(base::Ok());
                           });
}

void Pod::Delete(const std::string& id, const std::string& exec_id, ExitCallback done) {
  base::Result<ProcessPtr> found = FindProcess(id, exec_id);
  if (!found) {
    CallOffCreate(id);
    return done(std::move(found.error()));
  }
  const ContainerPtr container = containers_.at(id);
  const ProcessPtr process = *found;
  const Process::State state = process->process.state();
  const bool starting = state == Process::State::kStarting;
  // Its streams may wait for a client who has long given up.
  const bool can_be_called_off = starting && !exec_id.empty() && !process->in_guest;
  if (state == Process::State::kRunning || (starting && !can_be_called_off)) {
    return done(MakeError(Code::kFailedPrecondition, "cannot delete a running process"));
  }
  if (process->deleting) {
    return done(MakeError(Code::kFailedPrecondition, "it is being deleted already"));
  }
  if (can_be_called_off) return CallOffExec(container, process, std::move(done));
  process->deleting = true;
  // Never started: deleting it is its end. A container's init has been there, and is killed; of an
  // exec there was nothing yet (containerd cmd/containerd-shim-runc-v2/process/exec_state.go).
  if (state == Process::State::kCreated) {
    if (exec_id.empty()) {
      ProcessEnded(process, kKilledStatus);
    } else {
      process->process.NeverStarts(ExitNow(0, 0));
    }
  }
  if (!exec_id.empty()) return DeleteExec(container, process, std::move(done));
  if (!machine_running() || container->sandbox()) {
    return DrainAndRemove(container, std::move(done));
  }
  machine_->agent().Delete(id, "", [this, container, done](base::Result<void> deleted) {
    if (!deleted) LOG_WARNING("container {}: {}", container->id(), deleted.error().Message());
    DrainAndRemove(container, done);
  });
}

// The cgroup that is to go with `container`: its own, unless another container has the same.
std::string Pod::OwnCgroup(const ContainerPtr& container) const {
  for (const auto& [id, other] : containers_) {
    if (other != container && other->own_cgroup == container->own_cgroup) return {};
  }
  return container->own_cgroup;
}

// containerd has given a Create up, as its client did, and cleans up: nobody will ask for that
// container again, nor for the machine that was made for it.
void Pod::CallOffCreate(const std::string& id) {
  const auto found = containers_.find(id);
  if (found == containers_.end() || !found->second->create_done) return;
  const ContainerPtr container = found->second;
  FailCreate(container,
             MakeError(Code::kCancelled, "the container was deleted before it was made"));
}

void Pod::DrainAndRemove(const ContainerPtr& container, ExitCallback done) {
  for (const auto& [exec_id, exec] : container->execs) exec->stdio.Close();
  const auto removed = [this, container, done = std::move(done)] {
    containers_.erase(container->id());
    LeaveCpus(container->id());
    // runtime.md "Lifecycle", 13.
    CallPoststop(worker_, container->hooks,
                 [container, done] { done(*container->init->process.exit()); });
  };
  container->init->stdio.WhenDrained(
      kDrainLimit, [this, container, removed] { RemoveFromHost(container, removed); });
}

void Pod::RemoveFromHost(const ContainerPtr& container, std::function<void()> done) {
  if (!state_) return done();
  const std::string own_cgroup = OwnCgroup(container);
  worker_.Compute<base::Result<void>>(
      [share = state_->share(), request = container->request, own_cgroup] {
        base::Result<void> removed_cgroup;
        if (!own_cgroup.empty()) removed_cgroup = cgroup::PodCgroup::RemoveAt(own_cgroup, "");
        base::Result<void> torn_down = TearDownContainer(share, request.id, RootfsOf(request));
        return torn_down ? std::move(removed_cgroup) : std::move(torn_down);
      },
      [this, container, own_cgroup, done = std::move(done)](base::Result<void> removed) {
        if (!removed) LOG_ERROR("container {}: {}", container->id(), removed.error().Trail());
        if (state_ && removed) {
          state_->record().rootfs.erase(container->id());
          std::vector<std::string>& cgroups = state_->record().cgroups;
          cgroups.erase(std::remove(cgroups.begin(), cgroups.end(), own_cgroup), cgroups.end());
          const base::Result<void> saved = state_->Save();
          if (!saved) LOG_WARNING("{}", saved.error().Trail());
        }
        done();
      });
}

base::Result<void> Pod::CloseStdin(const std::string& id, const std::string& exec_id) {
  const ProcessPtr process = TRY(FindProcess(id, exec_id));
  process->stdio.CloseInput();
  return base::Ok();
}

void Pod::OnMachineEnd(std::string why) {
  const bool expected = when_gone_ != nullptr;
  if (!expected) LOG_ERROR("pod {}: the machine has ended: {}", options_.pod_id, why);
  end_reason_ = std::move(why);
  machine_state_ = MachineState::kEnded;
  EndCpuUpdates();
  machine_.reset();
  for (const auto& [id, container] : containers_) {
    if (container->created()) ContainerEnded(container, kKilledStatus);
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
  pin_watch_.reset();
  host_watch_.reset();
  worker_.Compute<base::Result<void>>([state = state_] { return RemovePod(*state); },
                                      [this, done = std::move(done)](base::Result<void> removed) {
                                        if (!removed)
                                          LOG_ERROR("pod {}: {}", options_.pod_id,
                                                    removed.error().Trail());
                                        state_.reset();
                                        placement_.reset();
                                        port_forward_.reset();
                                        late_network_.reset();
                                        network_ns_.Reset();
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
      // Otherwise OnPodSetUp is still to come, and looks.
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
