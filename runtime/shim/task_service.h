// containerd's Task service, v2 and v3 (equal on the wire), for one pod.
//
// Thread rule: bound to the event loop. It parses, checks, keeps the order of events and answers;
// what a call means is the pod's business. Ownership: pod, sink and the table outlive it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent-proto/proto/containerd/task.pb.h"
#include "agent-proto/ttrpc/dispatch.h"
#include "runtime/pod/pod.h"
#include "runtime/shim/event_sink.h"
#include "runtime/shim/metrics.h"
#include "runtime/shim/process_table.h"

namespace shim {

namespace task = ::containerd::task;

class TaskService {
 public:
  template <class T>
  using Done = std::function<void(base::Result<T>)>;

  // `metrics`: the version of Stats' answers. `shut_down` is called when a Shutdown was received
  // and no container is left, and again for each later Shutdown: it frees the pod, once, and then
  // calls its argument, upon which the caller gets its answer.
  TaskService(pod::PodInterface& pod, EventSink& sink, MetricsVersion metrics,
              std::function<void(std::function<void()> freed)> shut_down);

  // Under containerd.task.v2.Task and containerd.task.v3.Task.
  void RegisterIn(ttrpc::ServiceTable& table);

  // Everything the pod reports goes here.
  void OnPodEvent(const pod::Event& event);

  std::string Dump() const { return processes_.Dump(); }

 private:
  void Create(const task::CreateTaskRequest& request, Done<task::CreateTaskResponse> done);
  void OnCreated(const task::CreateTaskRequest& request, base::Result<pid_t> created,
                 const Done<task::CreateTaskResponse>& done);
  void Exec(const task::ExecProcessRequest& request, const Done<containerd::Empty>& done);
  void Start(const task::StartRequest& request, Done<task::StartResponse> done);
  void OnStarted(const task::StartRequest& request, base::Result<pid_t> started,
                 const Done<task::StartResponse>& done);
  void Delete(const task::DeleteRequest& request, Done<task::DeleteResponse> done);
  void OnDeleted(const task::DeleteRequest& request, base::Result<pod::ExitInfo> deleted,
                 const Done<task::DeleteResponse>& done);
  void State(const task::StateRequest& request, const Done<task::StateResponse>& done);
  void Wait(const std::weak_ptr<void>& caller, const task::WaitRequest& request,
            Done<task::WaitResponse> done);
  void Kill(const task::KillRequest& request, Done<containerd::Empty> done);
  void Pids(const task::PidsRequest& request, Done<task::PidsResponse> done);
  void CloseIO(const task::CloseIORequest& request, const Done<containerd::Empty>& done);
  void Connect(const task::ConnectRequest& request, const Done<task::ConnectResponse>& done);
  void Shutdown(const Done<containerd::Empty>& done);

  // task_control.cc
  void RegisterControl(ttrpc::ServiceTable& table, const std::string& service);
  void ResizePty(const task::ResizePtyRequest& request, Done<containerd::Empty> done);
  void Pause(const task::PauseRequest& request, Done<containerd::Empty> done);
  void Resume(const task::ResumeRequest& request, Done<containerd::Empty> done);
  void Update(const task::UpdateTaskRequest& request, Done<containerd::Empty> done);
  void Stats(const task::StatsRequest& request, Done<task::StatsResponse> done);
  void Checkpoint(const task::CheckpointTaskRequest& request, const Done<containerd::Empty>& done);

  void PublishCreate(const task::CreateTaskRequest& request, pid_t pid);
  void PublishStart(const task::StartRequest& request, pid_t pid);
  void PublishExecAdded(const task::ExecProcessRequest& request);
  void PublishPaused(const std::string& id, bool paused);
  void PublishExit(const std::string& id, const std::string& exec_id, const pod::ExitInfo& exit);
  void PublishDelete(const std::string& id, const pod::ExitInfo& exit);
  // Begins the end if it was asked for and nothing is left. `freed` may be empty.
  bool MaybeShutDown(std::function<void()> freed);

  pod::PodInterface& pod_;
  EventSink& sink_;
  const MetricsVersion metrics_;
  std::function<void(std::function<void()>)> shut_down_;
  ProcessTable processes_;
  bool shutdown_requested_ = false;
  bool shutting_down_ = false;
};

}  // namespace shim
