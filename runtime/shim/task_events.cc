// The events half of TaskService: what containerd is told, and when.
#include "agent-proto/proto/containerd/events.pb.h"
#include "runtime/base/log.h"
#include "runtime/shim/task_service.h"
#include "runtime/shim/timestamp.h"

namespace shim {

namespace events = ::containerd::events;

void TaskService::OnPodEvent(const pod::Event& event) {
  if (event.kind == pod::Event::Kind::kOom) {
    events::TaskOOM message;
    message.set_container_id(event.container_id);
    sink_.Publish("/tasks/oom", "containerd.events.TaskOOM", message.SerializeAsString());
    return;
  }
  const pod::ExitInfo reported = event.exit.value_or(pod::ExitInfo());
  const auto exit = processes_.Exited(event.container_id, event.exec_id, reported);
  if (exit) PublishExit(event.container_id, event.exec_id, *exit);
}

void TaskService::PublishCreate(const task::CreateTaskRequest& request, pid_t pid) {
  events::TaskCreate message;
  message.set_container_id(request.id());
  message.set_bundle(request.bundle());
  *message.mutable_rootfs() = request.rootfs();
  message.mutable_io()->set_stdin(request.stdin());
  message.mutable_io()->set_stdout(request.stdout());
  message.mutable_io()->set_stderr(request.stderr());
  message.mutable_io()->set_terminal(request.terminal());
  message.set_checkpoint(request.checkpoint());
  message.set_pid(static_cast<uint32_t>(pid));
  sink_.Publish("/tasks/create", "containerd.events.TaskCreate", message.SerializeAsString());
}

void TaskService::PublishExecAdded(const task::ExecProcessRequest& request) {
  events::TaskExecAdded message;
  message.set_container_id(request.id());
  message.set_exec_id(request.exec_id());
  sink_.Publish("/tasks/exec-added", "containerd.events.TaskExecAdded",
                message.SerializeAsString());
}

void TaskService::PublishPaused(const std::string& id, bool paused) {
  if (paused) {
    events::TaskPaused message;
    message.set_container_id(id);
    sink_.Publish("/tasks/paused", "containerd.events.TaskPaused", message.SerializeAsString());
    return;
  }
  events::TaskResumed message;
  message.set_container_id(id);
  sink_.Publish("/tasks/resumed", "containerd.events.TaskResumed", message.SerializeAsString());
}

void TaskService::PublishStart(const task::StartRequest& request, pid_t pid) {
  if (!request.exec_id().empty()) {
    events::TaskExecStarted message;
    message.set_container_id(request.id());
    message.set_exec_id(request.exec_id());
    message.set_pid(static_cast<uint32_t>(pid));
    sink_.Publish("/tasks/exec-started", "containerd.events.TaskExecStarted",
                  message.SerializeAsString());
    return;
  }
  events::TaskStart message;
  message.set_container_id(request.id());
  message.set_pid(static_cast<uint32_t>(pid));
  sink_.Publish("/tasks/start", "containerd.events.TaskStart", message.SerializeAsString());
}

void TaskService::PublishExit(const std::string& id, const std::string& exec_id,
                              const pod::ExitInfo& exit) {
  LOG_INFO("container {} exec \"{}\" ended with status {}", id, exec_id, exit.exit_status);
  events::TaskExit message;
  message.set_container_id(id);
  message.set_id(exec_id.empty() ? id : exec_id);
  message.set_pid(static_cast<uint32_t>(exit.pid));
  message.set_exit_status(exit.exit_status);
  *message.mutable_exited_at() = ToTimestamp(exit.exited_at);
  sink_.Publish("/tasks/exit", "containerd.events.TaskExit", message.SerializeAsString());
}

void TaskService::PublishDelete(const std::string& id, const pod::ExitInfo& exit) {
  events::TaskDelete message;
  message.set_container_id(id);
  message.set_pid(static_cast<uint32_t>(exit.pid));
  message.set_exit_status(exit.exit_status);
  *message.mutable_exited_at() = ToTimestamp(exit.exited_at);
  sink_.Publish("/tasks/delete", "containerd.events.TaskDelete", message.SerializeAsString());
}

}  // namespace shim
