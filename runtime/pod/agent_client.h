// Calls to the agent in the guest, over the connection that it dialled.
//
// Trust: the agent is hostile once a container has run. Each answer is bounded by ttrpc, parsed,
// and its fields are checked here. Thread rule: reactor-bound. Ownership: owns the connection.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/cpu/translate.h"
#include "runtime/network/pod_network.h"
#include "runtime/pod/guest_spec.h"
#include "runtime/pod/pod.h"
#include "runtime/pod/port_forward.h"

namespace ttrpc {
class Client;
}

namespace pod {

class AgentClient {
 public:
  template <class T>
  using Callback = std::function<void(base::Result<T>)>;

  struct GuestInfo {
    std::string agent_version;
    std::string kernel_release;
    std::vector<uint32_t> online_cpus;
  };
  struct ContainerRequest {
    std::string container_id;
    std::string spec_json;
    cpu::GuestCpuset cpuset;
    bool open_stdin = false;
    bool open_stdout = false;
    bool open_stderr = false;
  };

  struct ExecRequest {
    std::string container_id;
    std::string exec_id;
    std::string process_json;
    bool open_stdin = false;
    bool open_stdout = false;
    bool open_stderr = false;
  };

  // `call_timeout` bounds every call but Wait and WaitOom. `on_closed`: once, when the agent has
  // gone; calls that wait have failed with kUnavailable before.
  static base::Result<std::unique_ptr<AgentClient>> Create(base::EventLoop& loop,
                                                           base::UniqueFd connection,
                                                           std::chrono::nanoseconds call_timeout,
                                                           std::function<void()> on_closed);
  ~AgentClient();

  // Ends the connection: every call that waits fails with kUnavailable now; on_closed does not
  // come.
  void Close();

  void Hello(const std::string& stream_token, Callback<GuestInfo> done);
  void ConfigurePod(const PodSettings& settings, Callback<void> done);
  void ConfigureNetwork(const network::Survey& survey, Callback<void> done);
  void ForwardPort(const PortForward::Target& target, Callback<void> done);
  // `done` gets the pid of its first process in the guest.
  void CreateContainer(const ContainerRequest& request, Callback<pid_t> done);
  void Start(const std::string& container_id, const std::string& exec_id, Callback<void> done);
  // The exit status, 0 to 255.
  void Wait(const std::string& container_id, const std::string& exec_id, Callback<uint32_t> done);
  void Signal(const std::string& container_id, const std::string& exec_id, uint32_t signal,
              bool all, Callback<void> done);
  void Delete(const std::string& container_id, const std::string& exec_id, Callback<void> done);
  void Exec(const ExecRequest& request, Callback<void> done);
  void Resize(const std::string& container_id, const std::string& exec_id, uint32_t columns,
              uint32_t rows, Callback<void> done);
  void Freeze(const std::string& container_id, bool frozen, Callback<void> done);
  // `cpuset`: instead of what is in `resources_json`, which names the host's CPUs.
  void Update(const std::string& container_id, const std::string& resources_json,
              const cpu::GuestCpuset& cpuset, Callback<void> done);
  // vCPUs by index; answered when it is so.
  void OnlineCpus(const std::vector<uint32_t>& vcpus, Callback<void> done);
  void OfflineCpus(const std::vector<uint32_t>& vcpus, Callback<void> done);
  void Stats(const std::string& container_id, Callback<ContainerStats> done);
  // The guest's pids, 1 to PID_MAX_LIMIT, of the container's processes but its init and its execs.
  void OtherPids(const std::string& container_id, std::chrono::nanoseconds timeout,
                 Callback<std::vector<pid_t>> done);
  // Answers when the guest's kernel has killed more than `seen` processes for memory.
  void WaitOom(const std::string& container_id, uint64_t seen, Callback<uint64_t> done);
  void Shutdown(std::chrono::nanoseconds timeout, Callback<void> done);

 private:
  explicit AgentClient(std::chrono::nanoseconds call_timeout);

  void SetCpus(const char* method, const std::vector<uint32_t>& vcpus, Callback<void> done);
  // `done`, to be called once, by the answer or by Close.
  template <class T>
  Callback<T> Track(Callback<T> done);

  const std::chrono::nanoseconds call_timeout_;
  std::unique_ptr<ttrpc::Client> client_;
  uint64_t next_id_ = 0;
  std::map<uint64_t, std::function<void()>> pending_;  // fails the call
};

}  // namespace pod
