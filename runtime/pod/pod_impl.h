// Pod: one virtual machine and the containers in it.
//
// Thread rule: reactor-bound; what blocks runs on its worker. Ownership: destroying it kills the
// machine and drops callbacks; the host is cleaned up by Shutdown, or by CleanUp from outside.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/cpu/host_watch.h"
#include "runtime/cpu/pin_watch.h"
#include "runtime/pod/container.h"
#include "runtime/pod/cpu_update.h"
#include "runtime/pod/late_network.h"
#include "runtime/pod/line_reader.h"
#include "runtime/pod/machine.h"
#include "runtime/pod/machine_cpus.h"
#include "runtime/pod/pod.h"
#include "runtime/pod/port_forward.h"
#include "runtime/pod/set_up.h"
#include "runtime/pod/worker.h"

namespace pod {

inline constexpr uint32_t kKilledStatus = 128 + 9;
// containerd contract: Delete waits for output to be read, 10 s at most.
inline constexpr std::chrono::seconds kDrainLimit{10};

ExitInfo ExitNow(pid_t pid, uint32_t status);

class Pod : public PodInterface {
 public:
  Pod(base::EventLoop& loop, PodOptions options, std::function<void(const Event&)> on_event);
  ~Pod() override;

  void CreateContainer(CreateRequest request, PidCallback done) override;
  base::Result<void> Exec(ExecRequest request) override;
  void Start(const std::string& id, const std::string& exec_id, PidCallback done) override;
  base::Result<ProcessState> State(const std::string& id, const std::string& exec_id) override;
  void Wait(const std::string& id, const std::string& exec_id, std::weak_ptr<void> caller,
            ExitCallback done) override;
  void Kill(const std::string& id, const std::string& exec_id, uint32_t signal, bool all,
            DoneCallback done) override;
  void Delete(const std::string& id, const std::string& exec_id, ExitCallback done) override;
  void Pids(const std::string& id, PidsCallback done) override;
  base::Result<void> CloseStdin(const std::string& id, const std::string& exec_id) override;
  void Resize(const std::string& id, const std::string& exec_id, uint32_t columns, uint32_t rows,
              DoneCallback done) override;
  void Pause(const std::string& id, DoneCallback done) override;
  void Resume(const std::string& id, DoneCallback done) override;
  void Update(const std::string& id, const std::string& resources_json, DoneCallback done) override;
  void Stats(const std::string& id, StatsCallback done) override;
  void PodStats(StatsCallback done) override;
  size_t container_count() const override { return containers_.size(); }
  void Shutdown(std::function<void()> done) override;

 private:
  friend class PodExecTest;  // puts a container there without a machine

  enum class MachineState { kNone, kStarting, kRunning, kEnding, kEnded };

  // pod_create.cc
  void StartMachine(const ContainerPtr& first);
  void OnPodSetUp(base::Result<PodSetup> setup);
  void BootMachine(MachineOptions options);
  void OnBooted(base::Result<void> result);
  void SetUpWaiting();
  // Of containers that run: the pid that the host knows them by, and the guest's.
  std::map<pid_t, pid_t> GuestPids() const;
  void SetUp(const ContainerPtr& container);
  void ContinueCreate(const ContainerPtr& container);
  void AttachAndCreate(const ContainerPtr& container);
  void CreateInGuest(const ContainerPtr& container);
  void OnCreatedInGuest(const ContainerPtr& container, base::Result<void> result);
  base::Result<void> RecordOwnCgroup(const ContainerPtr& container);
  // Its own cgroup and its init's anchor, unless they are there.
  base::Result<void> Anchored(const ContainerPtr& container);
  base::Result<void> StartAnchor(const ContainerPtr& container, const ProcessPtr& process);
  void FailCreate(const ContainerPtr& container, base::Error error);
  void FinishFailedCreate(const ContainerPtr& container, base::Error error);
  void FailAllCreates(base::Code code, const std::string& why);
  base::Result<void> RecordProcess(const char* role, pid_t pid);
  void OnStream(GuestStream stream);
  void ForwardPorts(network::PortListener ports);

  // pod_hooks.cc
  // Runs one kind of a container's hooks on the worker; `done` at once if there are none.
  void CallHooks(const ContainerPtr& container, const char* status,
                 const std::vector<oci::Hook>& hooks, std::function<void(base::Result<void>)> done);
  // Those of creation, and joins the network that they made.
  void CallCreateHooks(const ContainerPtr& container, std::function<void()> then);

  // pod_network.cc
  void ExpectLateNetwork();
  // What has come into the pod's namespace since it was made becomes the guest's, once.
  void JoinLateNetwork(DoneCallback done);

  // pod.cc
  base::Result<ContainerPtr> FindCreated(const std::string& id) const;
  base::Result<ProcessPtr> FindProcess(const std::string& id, const std::string& exec_id) const;
  bool machine_running() const { return machine_state_ == MachineState::kRunning; }
  base::Error MachineEnded() const;
  void StartInGuest(const ContainerPtr& container, const ProcessPtr& process, PidCallback done);
  void WatchExit(const ContainerPtr& container, const ProcessPtr& process);
  void ProcessEnded(const ProcessPtr& process, uint32_t exit_status);
  void ContainerEnded(const ContainerPtr& container, uint32_t exit_status);
  void OnMachineEnd(std::string why);
  void KillCreated(const ContainerPtr& container, DoneCallback done);
  void CallOffCreate(const std::string& id);
  std::string OwnCgroup(const ContainerPtr& container) const;
  void DrainAndRemove(const ContainerPtr& container, ExitCallback done);
  // Mounts and cgroup of a container that has no process any more, or never had one.
  void RemoveFromHost(const ContainerPtr& container, std::function<void()> done);
  void EndAnchor(const ProcessPtr& process);

  // pod_exec.cc
  void StartExec(const ContainerPtr& container, const ProcessPtr& exec, PidCallback done);
  void ExecInGuest(const ContainerPtr& container, const ProcessPtr& exec, PidCallback done);
  void FailExec(const ContainerPtr& container, const ProcessPtr& exec, base::Error error,
                const PidCallback& done);
  void CallOffExec(const ContainerPtr& container, const ProcessPtr& exec, ExitCallback done);
  void DeleteExec(const ContainerPtr& container, const ProcessPtr& exec, ExitCallback done);

  // pod_sandbox.cc
  void CreateSandbox(const ContainerPtr& container);
  void KillSandbox(const ContainerPtr& container, uint32_t signal, const DoneCallback& done);
  static ContainerStats SandboxStats(const ContainerPtr& container);

  // pod_update.cc
  void StartCpuUpdates();
  void EndCpuUpdates();
  void LeaveCpus(const std::string& id);
  base::Result<void> WatchPins();
  void FollowPins();

  // pod_control.cc
  void Freeze(const std::string& id, bool frozen, DoneCallback done);
  void WatchOom(const ContainerPtr& container, uint64_t seen);

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
  LimitedLog stream_log_{"stdio"};  // of streams that nobody waits for
  std::unique_ptr<cpu::PinWatch> pin_watch_;
  base::UniqueFd network_ns_;                  // the pod's on the host, where its anchors are
  std::unique_ptr<LateNetwork> late_network_;  // if it may come into that namespace
  std::unique_ptr<cpu::HostWatch> host_watch_;
  MachineState machine_state_ = MachineState::kNone;
  std::string end_reason_;
  std::function<void()> when_gone_;  // Shutdown, or the undoing of a Create, waits for the end
  bool shutting_down_ = false;
  Worker worker_;
  std::unique_ptr<Machine> machine_;
  size_t boot_vcpus_ = 0;
  std::chrono::nanoseconds call_timeout_{0};
  std::unique_ptr<MachineCpus> machine_cpus_;
  std::unique_ptr<CpuUpdate> cpu_update_;  // while the machine runs
  std::unique_ptr<PortForward> port_forward_;
};

}  // namespace pod
