// Pod: from CreateContainer to its answer.
//
//   first container:  SetUpPod (worker) ─┬─► Machine::Boot ──────────────┐
//   each:                                └─► SetUpContainer (worker) ────┤
//   each:             Stdio::Open ───────────────────────────────────────┴─►
//                     hooks ─► AttachToShare (worker) ─► agent CreateContainer ─► anchor ─► answer
//
// With hooks of creation the anchor comes before them: they are told its pid.
//
// A step that fails undoes the container; if the machine was made for it, the machine too.
#include <signal.h>

#include <algorithm>
#include <utility>

#include "runtime/base/log.h"
#include "runtime/cgroup/cgroup_path.h"
#include "runtime/pod/bundle_record.h"
#include "runtime/pod/pod_impl.h"

namespace pod {

using base::Code;
using base::MakeError;

void Pod::CreateContainer(CreateRequest request, PidCallback done) {
  const base::Result<void> checked = CheckId("container id", request.id);
  if (!checked) return done(base::Error(checked.error().code(), checked.error().Message()));
  if (containers_.count(request.id) != 0) {
    return done(MakeError(Code::kAlreadyExists, "container {} already exists", request.id));
  }
  if (machine_state_ == MachineState::kEnded || machine_state_ == MachineState::kEnding ||
      shutting_down_) {
    return done(MakeError(Code::kUnavailable, "the pod's machine has ended: {}", end_reason_));
  }
  const std::string id = request.id;
  auto container = std::make_shared<Container>(
      loop_, options_, std::move(request), [this, id](const ExitInfo& exit) {
        on_event_({.kind = Event::Kind::kExit, .container_id = id, .exec_id = {}, .exit = exit});
      });
  container->create_done = std::move(done);
  containers_[id] = container;
  container->init->stdio.Open([this, weak = std::weak_ptr(container)](base::Result<void> opened) {
    const ContainerPtr opening = weak.lock();
    if (!opening || opening->failed) return;
    if (!opened) return FailCreate(opening, std::move(opened.error()));
    opening->stdio_open = true;
    ContinueCreate(opening);
  });
  if (state_) return SetUp(container);
  waiting_.push_back(container);
  if (machine_state_ == MachineState::kNone) StartMachine(container);
}

void Pod::StartMachine(const ContainerPtr& first) {
  machine_state_ = MachineState::kStarting;
  worker_.Compute<base::Result<PodSetup>>(
      [options = options_, request = first->request] { return SetUpPod(options, request); },
      [this](base::Result<PodSetup> setup) { OnPodSetUp(std::move(setup)); });
}

void Pod::OnPodSetUp(base::Result<PodSetup> setup) {
  if (!setup) return OnBooted(std::move(setup.error()));
  state_ = std::move(setup->state);
  placement_ = std::move(setup->placement);
  network_ns_ = std::move(setup->network_ns);
  if (setup->ports) ForwardPorts(std::move(*setup->ports));
  if (shutting_down_ || when_gone_) return OnBooted(MakeError(Code::kCancelled, "called off"));
  const base::Result<void> watched = WatchPins();
  if (!watched) LOG_WARNING("pod {}: {}", options_.pod_id, watched.error().Trail());
  MachineOptions options = std::move(setup->machine);
  if (options.network_comes_later) ExpectLateNetwork();
  options.join = [placement = placement_](pid_t vmm, pid_t virtiofsd) {
    return placement->Join({vmm, virtiofsd});
  };
  boot_vcpus_ = options.cpus.vcpus.size();
  call_timeout_ = options.call_timeout;
  options.place = [placement = placement_](pid_t vmm, pid_t virtiofsd) {
    return placement->Place(vmm, {virtiofsd});
  };
  options.limit = [placement = placement_] { return placement->Limit(); };
  options.on_process = [this](const char* role, pid_t pid) { return RecordProcess(role, pid); };
  BootMachine(std::move(options));
  // While it boots; and what is missing is said at once.
  SetUpWaiting();
}

void Pod::BootMachine(MachineOptions options) {
  machine_ = std::make_unique<Machine>(
      loop_, worker_, std::move(options),
      Machine::Events{.on_stream = [this](GuestStream stream) { OnStream(std::move(stream)); },
                      .on_end = [this](std::string why) { OnMachineEnd(std::move(why)); }});
  machine_->Boot([this](base::Result<void> result) { OnBooted(std::move(result)); });
}

void Pod::ForwardPorts(network::PortListener ports) {
  auto forward = PortForward::Create(loop_, std::move(ports),
                                     [this](const PortForward::Target& target, DoneCallback done) {
                                       if (!machine_running()) return done(MachineEnded());
                                       machine_->agent().ForwardPort(target, std::move(done));
                                     });
  if (forward) port_forward_ = std::move(*forward);
  if (!forward) LOG_WARNING("pod {}: {}", options_.pod_id, forward.error().Trail());
}

base::Result<void> Pod::RecordProcess(const char* role, pid_t pid) {
  state_->record().processes.push_back(TRY(DescribeProcess(role, pid)));
  return state_->Save();
}

void Pod::OnBooted(base::Result<void> result) {
  if (result) {
    machine_state_ = MachineState::kRunning;
    if (when_gone_) return machine_->Kill("called off");
    StartCpuUpdates();
    const auto containers = containers_;  // answers may change it
    for (const auto& [id, container] : containers) ContinueCreate(container);
    return;
  }
  const Code code = result.error().code();
  const std::string message = result.error().Message();
  LOG_WARNING("pod {}: {}", options_.pod_id, result.error().Trail());
  machine_state_ = MachineState::kEnding;
  machine_.reset();
  end_reason_ = message;
  RemoveHostSide([this, code, message] {
    machine_state_ = shutting_down_ ? MachineState::kEnded : MachineState::kNone;
    FailAllCreates(code, message);
    OnMachineGone();
  });
}

void Pod::SetUpWaiting() {
  for (const std::weak_ptr<Container>& weak : std::exchange(waiting_, {})) {
    const ContainerPtr container = weak.lock();
    if (container && !container->failed) SetUp(container);
  }
}

std::map<pid_t, pid_t> Pod::GuestPids() const {
  std::map<pid_t, pid_t> pids;
  for (const auto& [id, container] : containers_) {
    const ContainerProcess& init = *container->init;
    if (init.anchor && init.guest_pid != 0) pids[init.pid] = init.guest_pid;
  }
  return pids;
}

void Pod::SetUp(const ContainerPtr& container) {
  const std::string id = container->request.id;
  // On record before anything is mounted.
  state_->record().rootfs[id] = RootfsOf(container->request);
  base::Result<void> saved = state_->Save();
  if (!saved) return FailCreate(container, std::move(saved.error()));
  container->set_up = true;
  worker_.Compute<base::Result<ContainerSetup>>(
      [cgroup = placement_->cgroup(), request = container->request, pids = GuestPids(),
       machine_mib = placement_->memory_mib()] {
        return SetUpContainer(cgroup, request, pids, machine_mib);
      },
      [this, weak = std::weak_ptr(container)](base::Result<ContainerSetup> setup) {
        const ContainerPtr ready = weak.lock();
        if (!ready || ready->failed) return;
        if (!setup) return FailCreate(ready, std::move(setup.error()));
        ready->pod_settings = std::move(setup->pod_settings);
        ready->hooks = std::move(setup->hooks);
        ready->spec_json = std::move(setup->spec_json);
        ready->trees = std::move(setup->trees);
        ready->cgroups_path = std::move(setup->cgroups_path);
        if (setup->scope) ready->scope.emplace(std::move(*setup->scope));
        ready->cpu = std::move(setup->cpu);
        ContinueCreate(ready);
      });
}

// Three paths meet here: streams, mounts, machine.
void Pod::ContinueCreate(const ContainerPtr& container) {
  if (container->failed || container->asked_guest || !machine_running()) return;
  const bool is_set_up = container->sandbox() || !container->spec_json.empty();
  if (!container->stdio_open || !is_set_up) return;
  container->asked_guest = true;
  base::Result<void> owed = OwePoststop(container->hooks);
  if (!owed) return FailCreate(container, std::move(owed.error()));
  CallCreateHooks(container, [this, weak = std::weak_ptr(container)] {
    if (const ContainerPtr ready = weak.lock()) AttachAndCreate(ready);
  });
}

void Pod::AttachAndCreate(const ContainerPtr& container) {
  if (container->sandbox()) return CreateSandbox(container);
  machine_->AttachToShare(std::move(container->trees),
                          [this, weak = std::weak_ptr(container)](base::Result<void> attached) {
                            const ContainerPtr ready = weak.lock();
                            if (!ready || ready->failed || !machine_running()) return;
                            if (!attached) return FailCreate(ready, std::move(attached.error()));
                            CreateInGuest(ready);
                          });
}

// With the CPUs that it brings to the pod's plan: if either fails, neither is.
void Pod::CreateInGuest(const ContainerPtr& container) {
  const auto in_guest = [this, weak = std::weak_ptr(container)](const cpu::GuestCpuset& cpuset,
                                                                DoneCallback answer) {
    const ContainerPtr creating = weak.lock();
    if (!creating || creating->failed) return answer(MakeError(Code::kCancelled, "called off"));
    AgentClient::ContainerRequest request;
    request.container_id = creating->request.id;
    request.spec_json = creating->spec_json;
    request.cpuset = cpuset;
    request.open_stdin = creating->init->stdio.wants(StreamKind::kStdin);
    request.open_stdout = creating->init->stdio.wants(StreamKind::kStdout);
    request.open_stderr = creating->init->stdio.wants(StreamKind::kStderr);
    machine_->agent().CreateContainer(
        request, [this, weak, id = request.container_id, answer](base::Result<pid_t> made) {
          if (!made) return answer(std::move(made.error()));
          const ContainerPtr created = weak.lock();
          if (created && !created->failed) {
            created->init->in_guest = true;
            created->init->guest_pid = *made;
            return answer(base::Ok());
          }
          // Called off meanwhile: nobody else would take it out of the guest.
          machine_->agent().Delete(id, "", [answer](base::Result<void>) {
            answer(MakeError(Code::kCancelled, "called off"));
          });
        });
  };
  cpu_update_->Ask({.change = {PlanChange::Kind::kJoin, container->request.id, container->cpu},
                    .in_guest = in_guest,
                    .done = [this, weak = std::weak_ptr(container)](base::Result<void> result) {
                      if (const ContainerPtr created = weak.lock())
                        OnCreatedInGuest(created, std::move(result));
                    }});
}

void Pod::OnCreatedInGuest(const ContainerPtr& container, base::Result<void> result) {
  if (container->failed) return;
  // The machine is ending; OnMachineEnd knows why and fails this Create.
  if (!result && result.error().code() == Code::kUnavailable) {
    if (machine_running()) machine_->KillSoon("the agent gave up on CreateContainer");
    return;
  }
  if (result) result = Anchored(container);
  if (!result) return FailCreate(container, std::move(result.error()));
  if (!container->sandbox()) WatchOom(container, 0);
  const base::Result<void> recorded = RecordInit(container->request.bundle, container->init->pid);
  if (!recorded) LOG_WARNING("container {}: {}", container->id(), recorded.error().Trail());
  const auto done = std::exchange(container->create_done, nullptr);
  done(container->init->pid);
}

// On record before it is made.
base::Result<void> Pod::RecordOwnCgroup(const ContainerPtr& container) {
  if (container->cgroups_path.empty()) return base::Ok();
  const std::string path = TRY(cgroup::ResolvePath(container->cgroups_path, ""));
  if (path == placement_->cgroup()) return base::Ok();
  const std::string own = TRY(cgroup::PathOnRecord(container->cgroups_path, ""));
  container->own_cgroup = own;
  std::vector<std::string>& cgroups = state_->record().cgroups;
  if (std::find(cgroups.begin(), cgroups.end(), own) == cgroups.end()) cgroups.push_back(own);
  return state_->Save();
}

base::Result<void> Pod::Anchored(const ContainerPtr& container) {
  if (container->init->anchor) return base::Ok();
  TRY(RecordOwnCgroup(container));
  TRY(StartAnchor(container, container->init));
  container->scope.reset();
  return base::Ok();
}

base::Result<void> Pod::StartAnchor(const ContainerPtr& container, const ProcessPtr& process) {
  // An exec's is where its container's is.
  const std::unique_ptr<Anchor>& of_init = container->init->anchor;
  const bool is_init = process == container->init;
  if (!is_init && (!of_init || of_init->ended())) {
    return MakeError(Code::kFailedPrecondition, "the container has ended");
  }
  const Anchor::Root root =
      TRY(is_init ? Anchor::RootAt(container->hooks.root) : Anchor::RootOf(of_init->pid()));
  process->anchor = TRY(Anchor::Start(
      loop_, network_ns_, root, [this, id = container->id(), weak = std::weak_ptr(process)] {
        const ProcessPtr owner = weak.lock();
        if (!owner) return;
        LOG_INFO("container {} exec \"{}\": its pid {} was killed on the host", id, owner->exec_id,
                 owner->pid);
        Kill(id, owner->exec_id, SIGKILL, owner->exec_id.empty(), [](base::Result<void>) {});
      }));
  process->pid = process->anchor->pid();
  TRY(RecordProcess("anchor", process->pid));
  if (const std::optional<int32_t> score = container->hooks.oom_score_adj) {
    SetOomScore(process->pid, *score);
    if (machine_) machine_->AddOomScore(process->pid, *score);
  }
  return placement_->AddAnchor(process->pid, container->cgroups_path);
}

void Pod::OnStream(GuestStream stream) {
  base::Result<void> attached =
      MakeError(Code::kNotFound, "the guest opened a stream of an unknown process");
  if (stream.forward && port_forward_) {
    attached =
        port_forward_->Attach(stream.exec_id, std::move(stream.socket), stream.decoder.TakeRest());
    if (!attached) stream_log_.Add(base::LogLevel::kInfo, attached.error().Message());
    return;
  }
  const auto found = containers_.find(stream.container_id);
  if (found != containers_.end() && !found->second->failed) {
    const auto& [id, container] = *found;
    const auto exec = container->execs.find(stream.exec_id);
    ContainerProcess* process = nullptr;
    if (stream.exec_id.empty()) process = container->init.get();
    if (exec != container->execs.end()) process = exec->second.get();
    if (process != nullptr) {
      attached =
          process->stdio.Attach(stream.kind, std::move(stream.socket), std::move(stream.decoder));
    }
  }
  if (!attached) {
    stream_log_.Add(base::LogLevel::kWarning,
                    fmt::format("container {} exec \"{}\": {}", stream.container_id, stream.exec_id,
                                attached.error().Message()));
  }
}

// Undoes in the reverse order: guest, anchor, mounts, hooks of creation; then the machine, if
// nobody else is in it.
void Pod::FailCreate(const ContainerPtr& container, base::Error error) {
  if (container->failed) return;
  container->failed = true;
  container->trees.clear();
  LOG_WARNING("container {}: {}", container->request.id, error.Trail());
  auto shared = std::make_shared<base::Error>(std::move(error));
  const auto finish = [this, container, shared] {
    FinishFailedCreate(container, std::move(*shared));
  };
  const auto undo_host = [this, container, finish] {
    EndAnchor(container->init);
    if (!container->set_up) return finish();
    RemoveFromHost(container,
                   [this, container, finish] { CallPoststop(worker_, container->hooks, finish); });
  };
  if (!container->init->in_guest || !machine_running()) return undo_host();
  machine_->agent().Delete(container->request.id, "",
                           [undo_host](base::Result<void>) { undo_host(); });
}

void Pod::FinishFailedCreate(const ContainerPtr& container, base::Error error) {
  auto shared = std::make_shared<base::Error>(std::move(error));
  const auto answer = [this, container, shared] {
    containers_.erase(container->request.id);
    LeaveCpus(container->request.id);
    const auto done = std::exchange(container->create_done, nullptr);
    if (done) done(std::move(*shared));
  };
  if (containers_.size() != 1 || machine_state_ == MachineState::kNone ||
      machine_state_ == MachineState::kEnded) {
    return answer();
  }
  // OnBooted or OnMachineEnd goes on from here.
  const auto before = std::move(when_gone_);
  when_gone_ = [before, answer] {
    answer();
    if (before) before();
  };
  // Otherwise OnPodSetUp is still to come, and looks.
  if (machine_) machine_->Kill(shared->Message());
}

void Pod::FailAllCreates(Code code, const std::string& why) {
  waiting_.clear();
  std::vector<ContainerPtr> creating;
  for (const auto& [id, container] : containers_) {
    if (container->create_done && !container->failed) creating.push_back(container);
  }
  for (const ContainerPtr& container : creating) {
    container->failed = true;
    EndAnchor(container->init);
    containers_.erase(container->request.id);
    CallPoststop(worker_, container->hooks, [container, code, why] {
      std::exchange(container->create_done, nullptr)(base::Error(code, why));
    });
  }
}

}  // namespace pod
