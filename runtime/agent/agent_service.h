// The Agent service (agent-proto/proto/agent.proto): containers by id, and calls to them.
//
// Thread rule: bound to the event loop. Errors: kNotFound for an id that is not known,
// kAlreadyExists for one that is, kInvalidArgument for what could never work.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "agent-proto/ttrpc/dispatch.h"
#include "runtime/agent/container.h"
#include "runtime/agent/port_forward.h"
#include "runtime/base/result.h"

namespace pinion::agent::v1 {
class ConfigureNetworkRequest;
class ConfigurePodRequest;
class ContainerStatsResponse;
class CpusRequest;
class CpusResponse;
class CreateContainerRequest;
class CreateContainerResponse;
class Empty;
class ExecProcessRequest;
class ForwardPortRequest;
class FreezeContainerRequest;
class HelloRequest;
class HelloResponse;
class ListPidsResponse;
class ProcessRequest;
class ResizeTerminalRequest;
class SignalProcessRequest;
class UpdateContainerRequest;
class WaitOomRequest;
class WaitOomResponse;
class WaitProcessResponse;
}  // namespace pinion::agent::v1

namespace agent {

namespace proto = pinion::agent::v1;

class AgentService {
 public:
  template <class Response>
  using Done = std::function<void(base::Result<Response>)>;

  struct Events {
    // The token that every StreamHello must carry.
    std::function<void(const std::string& stream_token)> on_hello;
    // The answer to Shutdown has been given.
    std::function<void()> on_shutdown;
  };

  AgentService(const Environment& environment, Events events);
  ~AgentService();

  // The table borrows the service.
  void RegisterWith(ttrpc::ServiceTable& table);

 private:
  void Hello(const proto::HelloRequest& request, const Done<proto::HelloResponse>& done);
  void ConfigurePod(const proto::ConfigurePodRequest& request, const Done<proto::Empty>& done);
  void ConfigureNetwork(const proto::ConfigureNetworkRequest& request,
                        const Done<proto::Empty>& done);
  void Forward(const proto::ForwardPortRequest& request, const Done<proto::Empty>& done);
  void Create(const proto::CreateContainerRequest& request,
              Done<proto::CreateContainerResponse> done);
  void Exec(const proto::ExecProcessRequest& request,
            const Done<proto::CreateContainerResponse>& done);
  void Start(const proto::ProcessRequest& request, const Done<proto::Empty>& done);
  void Wait(const proto::ProcessRequest& request, const Done<proto::WaitProcessResponse>& done);
  void Signal(const proto::SignalProcessRequest& request, const Done<proto::Empty>& done);
  void ListPids(const proto::ProcessRequest& request, const Done<proto::ListPidsResponse>& done);
  void Delete(const proto::ProcessRequest& request, const Done<proto::Empty>& done);
  void Resize(const proto::ResizeTerminalRequest& request, const Done<proto::Empty>& done);
  void Freeze(const proto::FreezeContainerRequest& request, const Done<proto::Empty>& done);
  void Update(const proto::UpdateContainerRequest& request, const Done<proto::Empty>& done);
  void Stats(const proto::ProcessRequest& request, const Done<proto::ContainerStatsResponse>& done);
  void WaitOom(const proto::WaitOomRequest& request, const Done<proto::WaitOomResponse>& done);
  void SetCpus(const proto::CpusRequest& request, bool online,
               const Done<proto::CpusResponse>& done);
  void Shutdown(const Done<proto::Empty>& done);

  base::Result<Container*> Find(const std::string& id);
  void Forget(const std::string& id);

  const Environment& environment_;
  const Events events_;
  std::map<std::string, std::unique_ptr<Container>> containers_;
  PortForward port_forward_;
};

// 1 to 128 of [A-Za-z0-9_.-], the first a letter or digit: what containerd allows, and a file name.
base::Result<void> CheckId(const char* what, const std::string& id);

}  // namespace agent
