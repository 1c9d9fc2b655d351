#include "runtime/shim/task_service.h"

#include <unistd.h>

#include <utility>

#include "agent-proto/proto/containerd/options.pb.h"
#include "runtime/base/log.h"
#include "runtime/shim/flags.h"
#include "runtime/shim/register.h"
#include "runtime/shim/timestamp.h"

namespace shim {
namespace {

using base::Code;
using base::MakeError;
using base::Result;

constexpr const char* kServices[] = {"containerd.task.v2.Task", "containerd.task.v3.Task"};

// runtimeoptions.v1.Options names our configuration; anything else is another runtime's.
Result<std::string> ConfigPath(const task::CreateTaskRequest& request) {
  if (request.options().type_url() != "runtimeoptions.v1.Options") return std::string();
  containerd::options::RuntimeOptions options;
  if (!options.ParseFromString(request.options().value())) {
    return MakeError(Code::kInvalidArgument, "the options are no {}", request.options().type_url());
  }
  if (options.config_path().empty() && !options.config_body().empty()) {
    LOG_WARNING("container {}: runtime options other than ConfigPath are ignored", request.id());
  }
  return options.config_path();
}

Result<pod::CreateRequest> ToPodRequest(const task::CreateTaskRequest& request) {
  TRY(CheckIdentifier("container id", request.id()));
  if (request.bundle().empty() || request.bundle()[0] != '/') {
    return MakeError(Code::kInvalidArgument, "bundle \"{}\" is no absolute path", request.bundle());
  }
  if (!request.checkpoint().empty()) {
    return MakeError(Code::kUnimplemented, "restoring a container from a checkpoint");
  }
  pod::CreateRequest out;
  out.id = request.id();
  out.bundle = request.bundle();
  for (const containerd::Mount& mount : request.rootfs()) {
    out.rootfs.push_back({mount.type(),
                          mount.source(),
                          mount.target(),
                          {mount.options().begin(), mount.options().end()}});
  }
  out.terminal = request.terminal();
  out.stdin_path = request.stdin();
  out.stdout_path = request.stdout();
  out.stderr_path = request.stderr();
  out.config_toml_path = TRY(ConfigPath(request));
  return out;
}

}  // namespace

TaskService::TaskService(pod::PodInterface& pod, EventSink& sink, MetricsVersion metrics,
                         std::function<void(std::function<void()> freed)> shut_down)
    : pod_(pod), sink_(sink), metrics_(metrics), shut_down_(std::move(shut_down)) {}

void TaskService::RegisterIn(ttrpc::ServiceTable& table) {
  for (const char* service : kServices) {
    Register(table, service, "Create", this, &TaskService::Create);
    Register(table, service, "Exec", this, &TaskService::Exec);
    Register(table, service, "Start", this, &TaskService::Start);
    Register(table, service, "Delete", this, &TaskService::Delete);
    Register(table, service, "State", this, &TaskService::State);
    Register(table, service, "Kill", this, &TaskService::Kill);
    Register(table, service, "Pids", this, &TaskService::Pids);
    Register(table, service, "CloseIO", this, &TaskService::CloseIO);
    Register(table, service, "Connect", this, &TaskService::Connect);
    table.RegisterUnary<task::WaitRequest, task::WaitResponse>(
        service, "Wait",
        [this](const ttrpc::CallContext& context, const task::WaitRequest& request,
               Done<task::WaitResponse> done) {
          Wait(context.connection, request, std::move(done));
        });
    table.RegisterUnary<task::ShutdownRequest, containerd::Empty>(
        service, "Shutdown",
        [this](const ttrpc::CallContext&, const task::ShutdownRequest&,
               const Done<containerd::Empty>& done) { Shutdown(done); });
    RegisterControl(table, service);
  }
}

void TaskService::Create(const task::CreateTaskRequest& request,
                         Done<task::CreateTaskResponse> done) {
  if (shutting_down_) {
    done(MakeError(Code::kUnavailable, "the pod is shutting down"));
    return;
  }
  Result<pod::CreateRequest> checked = ToPodRequest(request);
  if (!checked) {
    done(std::move(checked.error()));
    return;
  }
  processes_.BeginCreate(request.id(), "");
  pod_.CreateContainer(std::move(*checked),
                       [this, request, done = std::move(done)](Result<pid_t> created) {
                         OnCreated(request, std::move(created), done);
                       });
}

void TaskService::OnCreated(const task::CreateTaskRequest& request, Result<pid_t> created,
                            const Done<task::CreateTaskResponse>& done) {
  if (!created) {
    // The record stays if it is that of an older container of this id.
    if (created.error().code() != Code::kAlreadyExists) processes_.Forget(request.id(), "", {});
    LOG_WARNING("create container {}: {}", request.id(), created.error().Trail());
    done(std::move(created.error()));
    // A Shutdown may have come while it was being created, from a client that gave up.
    MaybeShutDown({});
    return;
  }
  PublishCreate(request, *created);
  if (const auto exit = processes_.Created(request.id(), "")) PublishExit(request.id(), "", *exit);
  task::CreateTaskResponse response;
  response.set_pid(static_cast<uint32_t>(*created));
  done(std::move(response));
}

void TaskService::Exec(const task::ExecProcessRequest& request,
                       const Done<containerd::Empty>& done) {
  base::Result<void> checked = CheckIdentifier("exec id", request.exec_id());
  if (!checked) return done(std::move(checked.error()));
  pod::ExecRequest exec;
  exec.id = request.id();
  exec.exec_id = request.exec_id();
  exec.process_json = request.spec().value();
  exec.terminal = request.terminal();
  exec.stdin_path = request.stdin();
  exec.stdout_path = request.stdout();
  exec.stderr_path = request.stderr();
  base::Result<void> added = pod_.Exec(std::move(exec));
  if (!added) return done(std::move(added.error()));
  processes_.BeginCreate(request.id(), request.exec_id());
  PublishExecAdded(request);
  static_cast<void>(processes_.Created(request.id(), request.exec_id()));
  done(containerd::Empty());
}

void TaskService::Start(const task::StartRequest& request, Done<task::StartResponse> done) {
  processes_.BeginStart(request.id(), request.exec_id());
  pod_.Start(request.id(), request.exec_id(),
             [this, request, done = std::move(done)](Result<pid_t> started) {
               OnStarted(request, std::move(started), done);
             });
}

void TaskService::OnStarted(const task::StartRequest& request, Result<pid_t> started,
                            const Done<task::StartResponse>& done) {
  if (started) PublishStart(request, *started);
  const auto exit = processes_.EndStart(request.id(), request.exec_id(), started.has_value());
  if (exit) PublishExit(request.id(), request.exec_id(), *exit);
  if (!started) {
    LOG_WARNING("start container {} exec \"{}\": {}", request.id(), request.exec_id(),
                started.error().Trail());
    done(std::move(started.error()));
    return;
  }
  task::StartResponse response;
  response.set_pid(static_cast<uint32_t>(*started));
  done(std::move(response));
}

void TaskService::Delete(const task::DeleteRequest& request, Done<task::DeleteResponse> done) {
  pod_.Delete(request.id(), request.exec_id(),
              [this, request, done = std::move(done)](Result<pod::ExitInfo> deleted) {
                OnDeleted(request, std::move(deleted), done);
              });
}

void TaskService::OnDeleted(const task::DeleteRequest& request, Result<pod::ExitInfo> deleted,
                            const Done<task::DeleteResponse>& done) {
  if (!deleted) {
    done(std::move(deleted.error()));
    return;
  }
  const auto exit = processes_.Forget(request.id(), request.exec_id(), *deleted);
  if (exit) PublishExit(request.id(), request.exec_id(), *exit);
  if (request.exec_id().empty()) PublishDelete(request.id(), *deleted);
  task::DeleteResponse response;
  response.set_pid(static_cast<uint32_t>(deleted->pid));
  response.set_exit_status(deleted->exit_status);
  *response.mutable_exited_at() = ToTimestamp(deleted->exited_at);
  done(std::move(response));
  MaybeShutDown({});
}

void TaskService::State(const task::StateRequest& request, const Done<task::StateResponse>& done) {
  Result<pod::ProcessState> state = pod_.State(request.id(), request.exec_id());
  if (!state) {
    done(std::move(state.error()));
    return;
  }
  task::StateResponse response;
  response.set_id(state->id);
  response.set_exec_id(state->exec_id);
  response.set_bundle(state->bundle);
  response.set_pid(static_cast<uint32_t>(state->pid));
  response.set_status(static_cast<task::Status>(state->status));
  response.set_stdin(state->stdin_path);
  response.set_stdout(state->stdout_path);
  response.set_stderr(state->stderr_path);
  response.set_terminal(state->terminal);
  if (state->exit) {
    response.set_exit_status(state->exit->exit_status);
    *response.mutable_exited_at() = ToTimestamp(state->exit->exited_at);
  }
  done(std::move(response));
}

void TaskService::Wait(const std::weak_ptr<void>& caller, const task::WaitRequest& request,
                       Done<task::WaitResponse> done) {
  pod_.Wait(request.id(), request.exec_id(), caller,
            [done = std::move(done)](Result<pod::ExitInfo> exit) {
              if (!exit) {
                done(std::move(exit.error()));
                return;
              }
              task::WaitResponse response;
              response.set_exit_status(exit->exit_status);
              *response.mutable_exited_at() = ToTimestamp(exit->exited_at);
              done(std::move(response));
            });
}

void TaskService::Kill(const task::KillRequest& request, Done<containerd::Empty> done) {
  pod_.Kill(request.id(), request.exec_id(), request.signal(), request.all(),
            [done = std::move(done)](Result<void> killed) {
              if (killed) {
                done(containerd::Empty());
              } else {
                done(std::move(killed.error()));
              }
            });
}

void TaskService::Pids(const task::PidsRequest& request, Done<task::PidsResponse> done) {
  pod_.Pids(request.id(), [done = std::move(done)](Result<std::vector<pod::ProcessPid>> pids) {
    if (!pids) return done(std::move(pids.error()));
    task::PidsResponse response;
    for (const pod::ProcessPid& process : *pids) {
      task::ProcessInfo* const info = response.add_processes();
      info->set_pid(static_cast<uint32_t>(process.pid));
      if (process.exec_id.empty()) continue;
      containerd::options::ProcessDetails details;
      details.set_exec_id(process.exec_id);
      info->mutable_info()->set_type_url("containerd.runc.v1.ProcessDetails");
      info->mutable_info()->set_value(details.SerializeAsString());
    }
    done(std::move(response));
  });
}

void TaskService::CloseIO(const task::CloseIORequest& request,
                          const Done<containerd::Empty>& done) {
  if (request.stdin()) {
    Result<void> closed = pod_.CloseStdin(request.id(), request.exec_id());
    if (!closed) {
      done(std::move(closed.error()));
      return;
    }
  }
  done(containerd::Empty());
}

void TaskService::Connect(const task::ConnectRequest& request,
                          const Done<task::ConnectResponse>& done) {
  task::ConnectResponse response;
  response.set_shim_pid(static_cast<uint32_t>(getpid()));
  // Never NotFound: containerd asks before Create, and after a restart.
  if (const auto state = pod_.State(request.id(), "")) {
    response.set_task_pid(static_cast<uint32_t>(state->pid));
  }
  done(std::move(response));
}

void TaskService::Shutdown(const Done<containerd::Empty>& done) {
  shutdown_requested_ = true;
  const auto answer = [done] { done(containerd::Empty()); };
  // The last Delete may have begun the end: machine and socket are there until it has come.
  if (shutting_down_) return shut_down_(answer);
  if (!MaybeShutDown(answer)) answer();
}

bool TaskService::MaybeShutDown(std::function<void()> freed) {
  if (!shutdown_requested_ || shutting_down_ || pod_.container_count() != 0) return false;
  shutting_down_ = true;
  shut_down_(std::move(freed));
  return true;
}

}  // namespace shim
