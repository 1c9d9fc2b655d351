// containerd's Sandbox service (containerd.runtime.sandbox.v1.Sandbox), for `sandboxer = "shim"`: a
// pod without a pause image. What the pod sees is the container that pause would have been, with a
// specification that is made here; the machine boots with StartSandbox.
//
//   CreateSandbox -> StartSandbox -> StopSandbox -> ShutdownSandbox
//
// Thread rule: bound to the event loop. Ownership: the pod and the table outlive it.
#pragma once

#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent-proto/proto/containerd/sandbox.pb.h"
#include "agent-proto/ttrpc/dispatch.h"
#include "runtime/pod/pod.h"
#include "runtime/shim/metrics.h"

namespace shim {

namespace sandbox = ::containerd::sandbox;

class SandboxService {
 public:
  template <class T>
  using Done = std::function<void(base::Result<T>)>;

  // `config_toml_path`: what `start` was given for the whole shim; empty: the default file.
  // `shut_down` frees the pod, whatever is in it, calls its argument, and then ends the daemon.
  SandboxService(pod::PodInterface& pod, MetricsVersion metrics, std::string config_toml_path,
                 std::function<void(std::function<void()> freed)> shut_down);

  void RegisterIn(ttrpc::ServiceTable& table);

 private:
  struct Sandbox {
    std::string id;
    std::string bundle;
    bool started = false;  // or being started
    timespec created_at{};
    bool stopping = false;
  };

  void CreateSandbox(const sandbox::CreateSandboxRequest& request,
                     const Done<sandbox::CreateSandboxResponse>& done);
  void StartSandbox(const sandbox::StartSandboxRequest& request,
                    Done<sandbox::StartSandboxResponse> done);
  void OnStarted(base::Result<pid_t> started, const Done<sandbox::StartSandboxResponse>& done);
  void Platform(const sandbox::PlatformRequest& request,
                const Done<sandbox::PlatformResponse>& done);
  void StopSandbox(const sandbox::StopSandboxRequest& request,
                   Done<sandbox::StopSandboxResponse> done);
  void WaitSandbox(const std::weak_ptr<void>& caller, const sandbox::WaitSandboxRequest& request,
                   Done<sandbox::WaitSandboxResponse> done);
  void SandboxStatus(const sandbox::SandboxStatusRequest& request,
                     const Done<sandbox::SandboxStatusResponse>& done);
  void PingSandbox(const sandbox::PingRequest& request, const Done<sandbox::PingResponse>& done);
  void ShutdownSandbox(const sandbox::ShutdownSandboxRequest& request,
                       Done<sandbox::ShutdownSandboxResponse> done);
  void SandboxMetrics(const sandbox::SandboxMetricsRequest& request,
                      Done<sandbox::SandboxMetricsResponse> done);
  // kNotFound unless `id` is the sandbox that was created here.
  base::Result<void> Check(const std::string& id) const;

  pod::PodInterface& pod_;
  const MetricsVersion metrics_;
  const std::string config_toml_path_;
  std::function<void(std::function<void()>)> shut_down_;
  std::optional<Sandbox> sandbox_;
};

}  // namespace shim
