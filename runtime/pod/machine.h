// The virtual machine of a pod: vmm, file server, agent, console, from spawning them until they
// have ended.
//
// Thread rule: reactor-bound; placing and limiting run on the worker. Ownership: destroying it
// kills and reaps its processes.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/cpu/plan.h"
#include "runtime/network/pod_network.h"
#include "runtime/pod/agent_client.h"
#include "runtime/pod/console_log.h"
#include "runtime/pod/line_reader.h"
#include "runtime/pod/stream_acceptor.h"
#include "runtime/pod/virtiofsd.h"
#include "runtime/pod/vmm_process.h"
#include "runtime/pod/worker.h"
#include "runtime/storage/share.h"

namespace pinion::vmm::v1 {
class Configure;
}

namespace pod {

struct MachineOptions {
  std::string vmm_program;
  uid_t uid = 0;
  std::string kernel;
  std::string initrd;
  std::string command_line;
  cpu::CpuPlan cpus;  // and RAM
  // The guest's network cards: a tap for each card of `network`.
  std::vector<base::UniqueFd> taps;
  network::Survey network;
  bool network_comes_later = false;  // none now, but slots for PlugNetwork
  VirtiofsdProgram virtiofsd;
  std::string share;            // what virtiofsd serves
  std::string state_directory;  // for its socket and the console log
  std::chrono::seconds connect_timeout{60};
  std::chrono::seconds call_timeout{30};
  // On the worker. `join`: the machine is still empty; its processes are to join the pod's cgroups,
  // which pay for the guest's memory. `place`: the vCPU threads wait; their cgroup and all masks
  // are to be set and verified. `limit`: the agent has answered; the CPU limit is to be put in
  // force.
  std::function<base::Result<void>(pid_t vmm, pid_t virtiofsd)> join;
  std::function<base::Result<void>(pid_t vmm, pid_t virtiofsd)> place;
  std::function<base::Result<void>()> limit;
  // A process of the machine exists; an error ends the boot.
  std::function<base::Result<void>(const char* role, pid_t pid)> on_process;
};

// What the machine's processes get on the host, by what containers name as process.oomScoreAdj: the
// highest, as the pod is as easy to spare as the easiest of its containers. nullopt if none does.
std::optional<int32_t> HighestOomScore(const std::map<pid_t, int32_t>& by_anchor);
// proc(5), "/proc/pid/oom_score_adj". A failure is a line in the log: the process may have gone.
void SetOomScore(pid_t pid, int32_t score);

class Machine {
 public:
  struct Events {
    std::function<void(GuestStream)> on_stream;
    // Once, if the machine ends after it has booted: by itself, by Kill or by PowerOff. Its
    // processes have been reaped.
    std::function<void(std::string why)> on_end;
  };

  Machine(base::EventLoop& loop, Worker& worker, MachineOptions options, Events events);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // `done` is called once, later: when the agent has answered, or with what went wrong and the
  // guest's last console lines, the machine's processes having been reaped.
  void Boot(std::function<void(base::Result<void>)> done);
  // Valid between a successful Boot and on_end.
  AgentClient& agent() { return *agent_; }
  // On the worker; the guest sees them when `done` is called. While it runs.
  void AttachToShare(std::vector<storage::SharedTree> trees,
                     std::function<void(base::Result<void>)> done);
  // vCPUs by index, while it runs; the guest may take its time, or never answer.
  void AddCpus(const std::vector<uint32_t>& indices, ControlChannel::CpusDone done);
  void RemoveCpus(const std::vector<uint32_t>& indices, ControlChannel::CpusDone done);
  // While it runs, if the options said that it comes later, and once: a card for each of `network`,
  // behind its tap, set up by the agent.
  void PlugNetwork(network::Survey network, std::vector<base::UniqueFd> taps,
                   std::function<void(base::Result<void>)> done);
  // A container that names a score lives, until its anchor is dropped: see HighestOomScore.
  void AddOomScore(pid_t anchor, int32_t score);
  void DropOomScore(pid_t anchor);
  // Asks the agent to power off, and kills after `limit`. on_end follows.
  void PowerOff(std::chrono::nanoseconds limit);
  // on_end, or Boot's `done`, follows.
  void Kill(std::string why);
  // The same in a moment, unless the vmm says by then how the machine ended: for a connection of
  // the agent that broke, which a guest's panic or power-off also looks like.
  void KillSoon(std::string why);

 private:
  enum class State { kNew, kBooting, kRunning, kEnded };

  base::Result<void> Spawn();
  base::Result<void> SendCreateVm();
  void OnVmCreated(base::Result<void> result);
  base::Result<void> SendConfigure();
  void FillConfigure(pinion::vmm::v1::Configure* configure) const;
  void OnConfigured(base::Result<void> result);
  void SendRun();
  void OnConnect(uint32_t port, base::UniqueFd socket);
  void StartAgent(base::UniqueFd socket);
  void OnHello(base::Result<AgentClient::GuestInfo> answer);
  void SetUpNetwork();
  void PlugCard(size_t card, std::function<void(base::Result<void>)> done);
  void LimitCpus();
  void FollowOomScores();
  void FailBoot(base::Error error);
  // Ends the boot with `result`'s error; true if there was none and the boot goes on.
  bool Continue(base::Result<void> result, const char* step);
  void OnVmmEnd(std::string why);
  base::Error BootError(const std::string& why);

  base::EventLoop& loop_;
  Worker& worker_;
  MachineOptions options_;
  Events events_;
  State state_ = State::kNew;
  bool powering_off_ = false;
  std::chrono::steady_clock::time_point booting_since_;
  std::function<void(base::Result<void>)> boot_done_;
  std::unique_ptr<base::Error> boot_error_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  LimitedLog guest_log_{"vsock"};
  std::unique_ptr<ConsoleLog> console_;
  std::unique_ptr<Virtiofsd> virtiofsd_;
  std::string stream_token_;  // what the agent proves its streams with
  std::unique_ptr<StreamAcceptor> streams_;
  std::unique_ptr<VmmProcess> vmm_;
  std::unique_ptr<AgentClient> agent_;
  std::map<pid_t, int32_t> oom_scores_;  // by anchor
  std::optional<int32_t> oom_score_;     // as written
  base::Timer deadline_;
};

}  // namespace pod
