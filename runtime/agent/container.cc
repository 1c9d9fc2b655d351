#include "runtime/agent/container.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "runtime/agent/capabilities.h"
#include "runtime/agent/container_exec.h"
#include "runtime/agent/container_init.h"
#include "runtime/agent/kmsg.h"
#include "runtime/agent/modules.h"
#include "runtime/agent/mount_options.h"
#include "runtime/agent/namespaces.h"
#include "runtime/base/file.h"

namespace agent {
namespace {

using base::Code;
using base::MakeError;

// 10 s in all, for processes that are slow to die.
constexpr std::chrono::milliseconds kRemovalInterval{10};
constexpr int kRemovalAttempts = 1000;

base::Result<void> CheckSpec(const oci::Spec& spec) {
  if (!spec.root) return MakeError(Code::kInvalidArgument, "root: it is missing");
  if (!spec.process || spec.process->args.empty()) {
    return MakeError(Code::kInvalidArgument, "process.args: it is missing");
  }
  return base::Ok();
}

// OCI runtime-spec 1.2, config-linux.md "User namespace mappings". What the mappings themselves
// must not be is the kernel's to say.
base::Result<void> CheckIdMap(bool user_namespace, const base::IdMap& map) {
  if (!user_namespace) {
    if (map.empty()) return base::Ok();
    return MakeError(Code::kInvalidArgument,
                     "linux.uidMappings, gidMappings: there is no user namespace for them");
  }
  // The set-up is done by the namespace's root.
  for (const auto* mappings : {&map.uids, &map.gids}) {
    if (base::HostId(*mappings, 0)) continue;
    return MakeError(Code::kInvalidArgument, "linux.{}: id 0 of the container is not mapped",
                     mappings == &map.uids ? "uidMappings" : "gidMappings");
  }
  return base::Ok();
}

}  // namespace

Container::Container(const Environment& environment, std::string id, const oci::Spec& spec,
                     Cgroup cgroup)
    : environment_(environment),
      id_(std::move(id)),
      spec_(spec),
      applied_(spec.linux_config.resources),
      cgroup_(std::move(cgroup)) {}

Container::~Container() {
  if (on_frozen_) on_frozen_(MakeError(Code::kNotFound, "container {} has gone", id_));
  for (const OomWaiter& waiter : std::exchange(oom_waiters_, {})) {
    waiter.done(MakeError(Code::kNotFound, "container {} has gone", id_));
  }
}

base::Result<std::unique_ptr<Container>> Container::Create(const Environment& environment,
                                                           std::string id, StreamOptions streams,
                                                           const oci::Spec& spec,
                                                           DoneCallback on_created) {
  TRY(CheckSpec(spec));
  Cgroup cgroup = TRY(Cgroup::Create(environment.cgroup_parent, id));
  std::unique_ptr<Container> container(
      new Container(environment, std::move(id), spec, std::move(cgroup)));
  base::Result<void> launched = container->Launch(streams, std::move(on_created));
  if (!launched) {
    static_cast<void>(container->cgroup_.Remove());
    return std::move(launched.error());
  }
  return container;
}

base::Result<Process::Options> Container::OptionsOf(const std::string& exec_id,
                                                    StreamOptions streams,
                                                    const oci::Process& process) const {
  Process::Options options;
  options.id = {id_, exec_id};
  options.terminal = process.terminal;
  options.open_stdin = streams.open_stdin;
  options.open_stdout = streams.open_stdout;
  options.open_stderr = streams.open_stderr;
  options.limits = process.rlimits;
  options.stdio_owner = process.user.uid;
  if (user_namespace_) {
    const auto owner = base::HostId(spec_.linux_config.uid_mappings, process.user.uid);
    if (!owner) {
      return MakeError(Code::kInvalidArgument, "process.user.uid {}: not in linux.uidMappings",
                       process.user.uid);
    }
    options.stdio_owner = *owner;
  }
  return options;
}

// A bridge, say, is a module that the kernel would have modprobe fetch, and there is none.
void Container::LoadNetworkModules() const {
  if (!spec_.process->capabilities) return;
  const uint64_t may = ParseCapabilities(spec_.process->capabilities->bounding);
  if ((may & (uint64_t{1} << CAP_NET_ADMIN)) == 0) return;
  for (const std::string& problem : LoadModulesOnce(environment_.network_modules)) {
    KmsgLine(KmsgLevel::kWarning, problem);
  }
}

base::Result<void> Container::Launch(StreamOptions streams, DoneCallback on_created) {
  TRY(cgroup_.ApplyDevices(spec_.linux_config.resources.devices));
  TRY(cgroup_.Apply(spec_.linux_config.resources), "linux.resources");
  const NamespacePlan namespaces =
      TRY(PlanNamespaces(spec_.linux_config.namespaces), "linux.namespaces");
  own_pid_namespace_ = namespaces.HasNew(CLONE_NEWPID);
  base::UniqueFd others_pids;
  if (!namespaces.pid_namespace.empty()) {
    others_pids = TRY(base::Open(namespaces.pid_namespace, O_RDONLY), "linux.namespaces: pid");
  }
  guests_pid_namespace_ = !own_pid_namespace_ && !others_pids;
  user_namespace_ = namespaces.HasNew(CLONE_NEWUSER);
  const base::IdMap id_map{spec_.linux_config.uid_mappings, spec_.linux_config.gid_mappings};
  TRY(CheckIdMap(user_namespace_, id_map));
  const std::vector<MadeMount> made_mounts = TRY(MakeMachineMounts(namespaces, spec_.mounts));
  if (spec_.linux_config.seccomp) seccomp_ = TRY(CompileSeccomp(*spec_.linux_config.seccomp));
  Process::Options options = TRY(OptionsOf("", streams, *spec_.process));
  TRY(DelegateCgroup(options.stdio_owner), "cgroup");
  TRY(WatchMemory());
  LoadNetworkModules();
  init_ = std::make_unique<Process>(
      environment_, std::move(options),
      Process::Events{[this](base::Result<void> ready) { OnInitReady(std::move(ready)); },
                      [this] { OnExit(); }});
  on_created_ = std::move(on_created);
  return init_->Launch({.flags = namespaces.clone_flags,
                        .cgroup = cgroup_.fd(),
                        .pid_namespace_of = others_pids,
                        .id_map = id_map},
                       [&](const Process::ChildEnds& ends) {
                         RunContainerInit({spec_, namespaces, seccomp_ ? &*seccomp_ : nullptr,
                                           made_mounts, id_, ends});
                       });
}

// As runc: who may write to the cgroup mount is the process's user, so that a systemd or a
// container engine without root's rights can make cgroups of its own there.
base::Result<void> Container::DelegateCgroup(uid_t user) {
  for (const oci::Mount& mount : spec_.mounts) {
    if (mount.type != "cgroup" && mount.type != "cgroup2") continue;
    const MountOptions options = TRY(ParseMountOptions(mount.options));
    if ((options.set & MOUNT_ATTR_RDONLY) == 0) return cgroup_.GiveTo(user);
  }
  return base::Ok();
}

base::Result<void> Container::WatchMemory() {
  base::Result<std::unique_ptr<CgroupEvents>> events = CgroupEvents::Watch(
      environment_.loop, cgroup_.path() + "/memory.events", [this] { OnMemoryEvent(); });
  if (events) {
    memory_events_ = std::move(*events);
  } else if (events.error().error_number() != ENOENT) {
    return std::move(events.error());
  }
  return base::Ok();
}

void Container::OnInitReady(base::Result<void> ready) {
  if (ready) return std::exchange(on_created_, nullptr)(base::Ok());
  creation_error_ = std::move(ready.error());
  RemoveCgroup(kRemovalAttempts);
}

void Container::Exec(const std::string& exec_id, StreamOptions streams, const oci::Process& process,
                     DoneCallback on_created) {
  if (execs_.count(exec_id) != 0) {
    return on_created(MakeError(Code::kAlreadyExists, "exec \"{}\" exists", exec_id));
  }
  if (init_->state() != Process::State::kRunning || frozen_ || on_deleted_) {
    return on_created(MakeError(Code::kFailedPrecondition, "container {} {}", id_,
                                init_->state() == Process::State::kStopped ? "has ended"
                                : frozen_                                  ? "is paused"
                                                                           : "does not run yet"));
  }
  if (process.args.empty()) {
    return on_created(MakeError(Code::kInvalidArgument, "process.args: it is missing"));
  }
  const oci::Process complete = CompleteExec(process, *spec_.process);
  // One that failed goes when its child has been reaped.
  const auto on_ready = [this, exec_id, on_created](base::Result<void> ready) {
    if (ready) return on_created(base::Ok());
    auto shared = std::make_shared<base::Result<void>>(std::move(ready));
    environment_.loop.Post([this, alive = std::weak_ptr(alive_), exec_id, on_created, shared] {
      on_created(std::move(*shared));
      if (alive.expired()) return;
      execs_.erase(exec_id);
      OnExit();
    });
  };
  base::Result<Process::Options> options = OptionsOf(exec_id, streams, complete);
  if (!options) return on_created(std::move(options.error()));
  auto exec = std::make_unique<Process>(environment_, std::move(*options),
                                        Process::Events{on_ready, [this] { OnExit(); }});
  Process& launching = *(execs_[exec_id] = std::move(exec));
  base::Result<void> launched = launching.Launch(
      {.cgroup = cgroup_.fd(),
       .cgroup_when_busy = [this] { return cgroup_.OpenThatOf(init_->pid()); },
       .pid_namespace_of = guests_pid_namespace_ ? base::BorrowedFd() : init_->pidfd()},
      [&](const Process::ChildEnds& ends) {
        const auto& personality = spec_.linux_config.personality;
        RunContainerExec({complete, seccomp_ ? &*seccomp_ : nullptr,
                          personality ? &*personality : nullptr, init_->pidfd(), user_namespace_,
                          ends});
      });
  if (launched) return;
  execs_.erase(exec_id);
  on_created(std::move(launched.error()));
}

// Some process has ended. The init's end is told when no other is left: execs of a pid namespace
// end before its init does, by the kernel's doing; without one of its own they are killed here, as
// the container's life is still its init's.
void Container::OnExit() {
  OnMemoryEvent();  // before the exit that it explains
  bool exec_lives = false;
  for (const auto& [exec_id, exec] : execs_) {
    exec->TellExit();
    exec_lives = exec_lives || exec->alive();
  }
  if (init_->state() != Process::State::kStopped) return;
  if (!own_pid_namespace_) static_cast<void>(cgroup_.Kill());
  if (!exec_lives) init_->TellExit();
  if (on_deleted_) RemoveCgroup(kRemovalAttempts);
}

base::Result<Process*> Container::Find(const std::string& exec_id) {
  if (exec_id.empty()) return init_.get();
  const auto found = execs_.find(exec_id);
  if (found != execs_.end()) return found->second.get();
  return MakeError(Code::kNotFound, "exec \"{}\" of container {}: there is none", exec_id, id_);
}

void Container::Start(const std::string& exec_id, DoneCallback done) {
  base::Result<Process*> process = Find(exec_id);
  if (!process) return done(std::move(process.error()));
  (*process)->Start(std::move(done));
}

void Container::Wait(const std::string& exec_id, std::function<void(base::Result<uint32_t>)> done) {
  base::Result<Process*> process = Find(exec_id);
  if (!process) return done(std::move(process.error()));
  (*process)->Wait([done = std::move(done)](uint32_t status) { done(status); });
}

base::Result<void> Container::Signal(const std::string& exec_id, int signal_number, bool all) {
  Process* const process = TRY(Find(exec_id));
  if (signal_number < 1 || signal_number > SIGRTMAX) {
    return MakeError(Code::kInvalidArgument, "signal {}: 1 to {} is wanted", signal_number,
                     SIGRTMAX);
  }
  if (all && exec_id.empty()) {
    const std::vector<pid_t> pids = TRY(Pids());
    if (!pids.empty()) {
      if (signal_number == SIGKILL) return cgroup_.Kill();
      for (const pid_t pid : pids) kill(pid, signal_number);
      return base::Ok();
    }
  }
  return process->Signal(signal_number);
}

base::Result<std::vector<pid_t>> Container::Pids() const { return cgroup_.Pids(); }

base::Result<std::vector<pid_t>> Container::OtherPids() const {
  std::vector<pid_t> pids = TRY(Pids());
  std::erase_if(pids, [this](pid_t pid) {
    if (init_ && pid == init_->pid()) return true;
    return std::any_of(execs_.begin(), execs_.end(),
                       [pid](const auto& exec) { return pid == exec.second->pid(); });
  });
  return pids;
}

void Container::Delete(const std::string& exec_id, DoneCallback done) {
  base::Result<Process*> found = Find(exec_id);
  if (!found) return done(std::move(found.error()));
  const Process::State state = (*found)->state();
  if (state == Process::State::kRunning || state == Process::State::kCreating) {
    return done(MakeError(Code::kFailedPrecondition, "it cannot be deleted: it still runs"));
  }
  if (on_deleted_) {
    return done(MakeError(Code::kFailedPrecondition, "container {} is being deleted already", id_));
  }
  if (!exec_id.empty()) return DeleteExec(exec_id, std::move(done));
  on_deleted_ = std::move(done);
  if (state == Process::State::kCreated) return init_->Kill();  // OnExit goes on
  RemoveCgroup(kRemovalAttempts);
}

void Container::DeleteExec(const std::string& exec_id, DoneCallback done) {
  Process& exec = *execs_.at(exec_id);
  // Posted: this may be inside a callback of its own.
  const auto erase = [this, exec_id, done = std::move(done)] {
    environment_.loop.Post([this, alive = std::weak_ptr(alive_), exec_id, done] {
      if (!alive.expired()) execs_.erase(exec_id);
      done(base::Ok());
    });
  };
  exec.Wait([erase](uint32_t) { erase(); });
  if (exec.state() == Process::State::kCreated) exec.Kill();
}

void Container::Freeze(bool frozen, DoneCallback done) {
  if (init_->state() != Process::State::kRunning || on_frozen_) {
    return done(MakeError(Code::kFailedPrecondition, "container {} {}", id_,
                          on_frozen_ ? "is being paused or resumed" : "does not run"));
  }
  base::Result<std::unique_ptr<CgroupEvents>> events = CgroupEvents::Watch(
      environment_.loop, cgroup_.path() + "/cgroup.events", [this] { CheckFrozen(); });
  if (!events) return done(std::move(events.error()));
  base::Result<void> asked = cgroup_.Freeze(frozen);
  if (!asked) return done(std::move(asked));
  cgroup_events_ = std::move(*events);
  frozen_ = frozen;
  on_frozen_ = std::move(done);
  CheckFrozen();
}

void Container::CheckFrozen() {
  if (!on_frozen_ || (cgroup_events_->Read("frozen") != 0) != frozen_) return;
  // Posted, because this may be the watch's own callback, which must not destroy the watch.
  environment_.loop.Post([events = std::shared_ptr<CgroupEvents>(std::move(cgroup_events_)),
                          done = std::exchange(on_frozen_, nullptr)] { done(base::Ok()); });
}

base::Result<void> Container::Update(const oci::Resources& resources) {
  if (init_->state() == Process::State::kStopped) {
    return MakeError(Code::kFailedPrecondition, "container {} has ended", id_);
  }
  if (!resources.devices.empty()) TRY(cgroup_.ApplyDevices(resources.devices));
  const oci::Resources complete = CompleteUpdate(resources, applied_);
  TRY(cgroup_.Apply(complete));
  const auto keep = [](auto& applied, const auto& updated) {
    if (updated.value_or(0) != 0) applied = updated;
  };
  if (complete.cpu) {
    if (!applied_.cpu) applied_.cpu.emplace();
    keep(applied_.cpu->quota_us, complete.cpu->quota_us);
    keep(applied_.cpu->period_us, complete.cpu->period_us);
  }
  if (complete.memory) {
    if (!applied_.memory) applied_.memory.emplace();
    keep(applied_.memory->limit, complete.memory->limit);
  }
  return base::Ok();
}

void Container::WaitOom(uint64_t seen, std::function<void(base::Result<uint64_t>)> done) {
  oom_waiters_.push_back({seen, std::move(done)});
  OnMemoryEvent();
}

void Container::OnMemoryEvent() {
  if (!memory_events_ || oom_waiters_.empty()) return;
  const uint64_t kills = memory_events_->Read("oom_kill");
  for (OomWaiter& waiter : std::exchange(oom_waiters_, {})) {
    if (kills > waiter.seen) {
      waiter.done(kills);
    } else {
      oom_waiters_.push_back(std::move(waiter));
    }
  }
}

// A mount of the host's below the share is mounted here by itself when it is first entered
// (virtio-fs "announce_submounts"), and would keep the host's file system busy. EINVAL: none was.
void Container::LetGoOfRootfs() { umount2(spec_.root->path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW); }

void Container::RemoveCgroup(int attempts_left) {
  base::Result<void> removed = cgroup_.Kill();
  if (removed) removed = cgroup_.Remove();
  for (const auto& [exec_id, exec] : execs_) {
    if (removed && exec->alive()) removed = MakeError(Code::kFailedPrecondition, "not reaped yet");
  }
  if (!removed && removed.error().code() == Code::kFailedPrecondition && attempts_left > 0) {
    // Those killed go when they are next scheduled; the kernel offers no better event than a poll
    // of cgroup.events, which still precedes the moment when rmdir succeeds.
    removal_timer_ = environment_.loop.After(
        kRemovalInterval, [this, attempts_left] { RemoveCgroup(attempts_left - 1); });
    return;
  }
  LetGoOfRootfs();
  if (creation_error_) {
    return std::exchange(on_created_, nullptr)(std::move(*creation_error_));
  }
  if (const DoneCallback done = std::exchange(on_deleted_, nullptr)) done(std::move(removed));
}

}  // namespace agent
