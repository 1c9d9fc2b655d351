// Pod: processes added to a container.
//
//   Exec: registered ─► Start: Stdio::Open ─► agent ExecProcess ─► anchor ─► agent StartProcess
//
// Everything that can fail fails Start: the guest hears nothing of an exec before. A Delete until
// the agent has answered calls the Start off, and goes on when that has failed.
#include <algorithm>
#include <optional>
#include <utility>

#include "runtime/base/log.h"
#include "runtime/pod/pod_impl.h"

namespace pod {

using base::Code;
using base::MakeError;

namespace {

// As many as a container's files and pids could carry long before.
constexpr size_t kMaxExecs = 4096;
// With those that have ended and that nobody deletes (`ctr tasks exec --detach`): a client must not
// fill the shim's memory.
constexpr size_t kMaxKnownExecs = 65536;
// What runc's shim reports of an exec that never ran.
constexpr uint32_t kNeverRan = 255;

base::Error Deleted() { return MakeError(Code::kCancelled, "the exec was deleted"); }

// What belongs to the host's kernel, or numbers its CPUs, means nothing in the guest.
void DropHostOnly(oci::Process& process, const std::string& exec_id) {
  if (!process.apparmor_profile.empty() || !process.selinux_label.empty()) {
    LOG_INFO("exec {}: AppArmor and SELinux are the host kernel's; the guest's has neither",
             exec_id);
  }
  if (process.exec_cpu_affinity) {
    LOG_INFO("exec {}: execCPUAffinity names CPUs of the host; the guest's are left as they are",
             exec_id);
  }
  process.apparmor_profile.clear();
  process.selinux_label.clear();
  process.exec_cpu_affinity.reset();
}

base::Result<void> CheckRoom(const Container& container) {
  if (container.execs.size() < kMaxExecs) return base::Ok();
  if (container.execs.size() >= kMaxKnownExecs) {
    return MakeError(Code::kResourceExhausted, "container {} has {} execs that were not deleted",
                     container.id(), container.execs.size());
  }
  const auto stopped = std::count_if(
      container.execs.begin(), container.execs.end(),
      [](const auto& entry) { return entry.second->process.state() == Process::State::kStopped; });
  if (container.execs.size() - static_cast<size_t>(stopped) < kMaxExecs) return base::Ok();
  return MakeError(Code::kResourceExhausted, "container {} has {} execs that have not ended",
                   container.id(), kMaxExecs);
}

}  // namespace

base::Result<void> Pod::Exec(ExecRequest request) {
  const ContainerPtr container = TRY(FindCreated(request.id));
  TRY(CheckId("exec id", request.exec_id));
  if (container->execs.count(request.exec_id) != 0) {
    return MakeError(Code::kAlreadyExists, "exec {} already exists", request.exec_id);
  }
  if (container->init->process.state() == Process::State::kStopped || container->paused) {
    return MakeError(Code::kFailedPrecondition, "cannot exec in a {} container",
                     container->paused ? "paused" : "stopped");
  }
  if (container->sandbox()) {
    return MakeError(Code::kUnimplemented,
                     "exec in a pod's sandbox container: it has no process in the guest");
  }
  TRY(CheckRoom(*container));
  oci::Process spec = TRY(oci::ParseProcess(request.process_json), "exec {}", request.exec_id);
  if (spec.args.empty()) {
    return MakeError(Code::kInvalidArgument, "exec {}: args: it is missing", request.exec_id);
  }
  spec.terminal = request.terminal;
  DropHostOnly(spec, request.exec_id);
  auto exec = std::make_shared<ContainerProcess>(
      loop_, request.exec_id,
      Stdio::Paths{request.stdin_path, request.stdout_path, request.stderr_path, request.terminal,
                   request.exec_id, options_.ns},
      options_.streams, [this, id = request.id, exec_id = request.exec_id](const ExitInfo& exit) {
        on_event_(
            {.kind = Event::Kind::kExit, .container_id = id, .exec_id = exec_id, .exit = exit});
      });
  exec->spec = std::move(spec);
  container->execs[request.exec_id] = std::move(exec);
  return base::Ok();
}

void Pod::StartExec(const ContainerPtr& container, const ProcessPtr& exec, PidCallback done) {
  if (exec->process.state() == Process::State::kCreated) {
    const bool runs = container->init->process.state() == Process::State::kRunning;
    if (!runs || container->paused) {
      return done(MakeError(Code::kFailedPrecondition, "cannot exec in a container that {}",
                            runs ? "is paused" : "is not running"));
    }
  }
  base::Result<void> begun = exec->process.BeginStart();
  if (!begun) return done(std::move(begun.error()));
  exec->stdio.Open([this, container, weak = std::weak_ptr(exec),
                    done = std::move(done)](base::Result<void> opened) {
    const ProcessPtr starting = weak.lock();
    if (!starting) return done(Deleted());
    if (starting->deleting) opened = Deleted();
    if (!opened) return FailExec(container, starting, std::move(opened.error()), done);
    ExecInGuest(container, starting, done);
  });
}

void Pod::ExecInGuest(const ContainerPtr& container, const ProcessPtr& exec, PidCallback done) {
  if (!machine_running()) return FailExec(container, exec, MachineEnded(), done);
  AgentClient::ExecRequest request;
  request.container_id = container->id();
  request.exec_id = exec->exec_id;
  request.process_json = oci::Serialise(exec->spec);
  request.open_stdin = exec->stdio.wants(StreamKind::kStdin);
  request.open_stdout = exec->stdio.wants(StreamKind::kStdout);
  request.open_stderr = exec->stdio.wants(StreamKind::kStderr);
  const auto on_created = [this, container, exec, done,
                           asked = exec->spec.console_size](base::Result<void> created) {
    const std::optional<oci::ConsoleSize> size = exec->spec.console_size;
    exec->in_guest = created.has_value();
    exec->spec = {};
    if (created && !machine_running()) created = MachineEnded();
    if (created && exec->deleting) created = Deleted();
    if (created) created = StartAnchor(container, exec);
    if (!created) return FailExec(container, exec, std::move(created.error()), done);
    // Resized meanwhile. The agent takes calls in their order: its process starts with this size.
    if (size && size != asked) {
      machine_->agent().Resize(container->id(), exec->exec_id, size->width, size->height,
                               [exec](base::Result<void> resized) {
                                 if (resized) return;
                                 LOG_WARNING("exec {}: {}", exec->exec_id,
                                             resized.error().Message());
                               });
    }
    StartInGuest(container, exec, [this, container, exec, done](base::Result<pid_t> started) {
      if (!started) return FailExec(container, exec, std::move(started.error()), done);
      exec->process.FinishStart(true);
      done(std::move(started));
    });
  };
  machine_->agent().Exec(request, on_created);
}

void Pod::FailExec(const ContainerPtr& container, const ProcessPtr& exec, base::Error error,
                   const PidCallback& done) {
  LOG_INFO("container {} exec {}: {}", container->id(), exec->exec_id, error.Trail());
  EndAnchor(exec);
  exec->stdio.Close();
  exec->process.NeverStarts(ExitNow(0, kNeverRan));
  done(std::move(error));
}

// What its Start waits for comes to nothing: `exec` ends there, and is deleted then.
void Pod::CallOffExec(const ContainerPtr& container, const ProcessPtr& exec, ExitCallback done) {
  exec->deleting = true;
  exec->process.Wait(exec, [this, container, weak = std::weak_ptr(exec),
                            done = std::move(done)](const base::Result<ExitInfo>&) {
    if (const ProcessPtr ended = weak.lock()) DeleteExec(container, ended, done);
  });
  exec->stdio.Close();
}

void Pod::DeleteExec(const ContainerPtr& container, const ProcessPtr& exec, ExitCallback done) {
  const auto removed = [container, exec, done = std::move(done)] {
    container->execs.erase(exec->exec_id);
    done(*exec->process.exit());
  };
  const auto drain = [exec, removed] { exec->stdio.WhenDrained(kDrainLimit, removed); };
  if (!exec->in_guest || !machine_running()) return drain();
  machine_->agent().Delete(container->id(), exec->exec_id,
                           [exec, drain](base::Result<void> deleted) {
                             // kNotFound: it went with its container.
                             if (!deleted && deleted.error().code() != Code::kNotFound) {
                               LOG_WARNING("exec {}: {}", exec->exec_id, deleted.error().Message());
                             }
                             drain();
                           });
}

}  // namespace pod
