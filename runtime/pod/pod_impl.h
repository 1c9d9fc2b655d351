// Pod: one virtual machine and the containers in it.
//
// Thread rule: reactor-bound; what blocks runs on its worker. Ownership: destroying it kills the
// machine and drops callbacks; the host is cleaned up by Shutdown, or by CleanUp from outside.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/pod/container.h"
#include "runtime/pod/machine.h"
#include "runtime/pod/pod.h"
#include "runtime/pod/set_up.h"
#include "runtime/pod/worker.h"

namespace pod {

class Pod : public PodInterface {
 public:
  Pod(base::EventLoop& loop, PodOptions options, std::function<void(const Event&)> on_event);
  ~Pod() override;

  void CreateContainer(CreateRequest request, PidCallback done) override;
  void Start(const std::string& id, const std::string& exec_id, PidCallback done) override;
  base::Result<ProcessState> State(const std::string& id, const std::string& exec_id) override;
  void Wait(const std::string& id, const std::string& exec_id, std::weak_ptr<void> caller,
            ExitCallback done) override;
  void Kill(const std::string& id, const std::string& exec_id, uint32_t signal, bool all,
            DoneCallback done) override;
  void Delete(const std::string& id, const std::string& exec_id, ExitCallback done) override;
  void Pids(const std::string& id,
            std::function<void(base::Result<std::vector<pid_t>>)> done) override;
  base::Result<void> CloseStdin(const std::string& id, const std::string& exec_id) override;
  size_t container_count() const override { return containers_.size(); }
  void Shutdown(std::function<void()> done) override;

 private:
  using ContainerPtr = std::shared_ptr<Container>;  // shared: callbacks hold weak ones
  enum class MachineState { kNone, kStarting, kRunning, kEnding, kEnded };

  // pod_create.cc
  void StartMachine(const ContainerPtr& first);
  void OnPodSetUp(base::Result<PodSetup> setup);
  void OnBooted(base::Result<void> result);
  void SetUpWaiting();
  void SetUp(const ContainerPtr& container);
  void ContinueCreate(const ContainerPtr& container);
  void CreateInGuest(const ContainerPtr& container);
  void OnCreatedInGuest(const ContainerPtr& container, base::Result<void> result);
  base::Result<void> StartAnchor(const ContainerPtr& container);
  void FailCreate(const ContainerPtr& container, base::Error error);
  void FinishFailedCreate(const ContainerPtr& container, base::Error error);
  void FailAllCreates(base::Code code, const std::string& why);
  base::Result<void> RecordProcess(const char* role, pid_t pid);
  void OnStream(GuestStream stream);

  // pod.cc
  base::Result<ContainerPtr> FindCreated(const std::string& id, const std::string& exec_id);
  bool machine_running() const { return machine_state_ == MachineState::kRunning; }
  void WatchExit(const ContainerPtr& container);
  void ProcessEnded(const ContainerPtr& container, uint32_t exit_status);
  void OnMachineEnd(std::string why);
  void KillCreated(const ContainerPtr& container, DoneCallback done);
  void DrainAndRemove(const ContainerPtr& container, ExitCallback done);
  void EndAnchor(const ContainerPtr& container);
  // Removes what the pod has on the host, then calls `done`; the pod is then as new, unless its
  // machine ended by itself.
  void RemoveHostSide(std::function<void()> done);
  void OnMachineGone();

  base::EventLoop& loop_;
  const PodOptions options_;
  std::function<void(const Event&)> on_event_;
  std::map<std::string, ContainerPtr> containers_;
  std::deque<std::weak_ptr<Container>> waiting_;  // for the machine
  std::shared_ptr<StateDirectory> state_;
  std::shared_ptr<Placement> placement_;
  MachineState machine_state_ = MachineState::kNone;
  std::string end_reason_;
  std::function<void()> when_gone_;  // Shutdown, or the undoing of a Create, waits for the end
  bool shutting_down_ = false;
  Worker worker_;
  std::unique_ptr<Machine> machine_;
};

}  // namespace pod
