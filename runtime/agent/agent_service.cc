#include "runtime/agent/agent_service.h"

#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "agent-proto/proto/agent.pb.h"
#include "oci/spec.h"
#include "runtime/agent/cpu_list.h"
#include "runtime/agent/cpus.h"
#include "runtime/agent/kmsg.h"
#include "runtime/agent/network.h"
#include "runtime/agent/pod_settings.h"
#include "runtime/base/file.h"

namespace agent {
namespace {

constexpr char kService[] = "pinion.agent.v1.Agent";
constexpr char kVersion[] = PINION_VERSION;
constexpr size_t kMaxIdBytes = 128;
constexpr int64_t kNsPerSecond = 1'000'000'000;

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

void SetClock(int64_t host_time_ns) {
  if (host_time_ns <= 0) return;
  const timespec now{host_time_ns / kNsPerSecond, host_time_ns % kNsPerSecond};
  if (clock_settime(CLOCK_REALTIME, &now) != 0) {
    KmsgLine(KmsgLevel::kError, base::ErrnoError("set the clock to {} ns", host_time_ns).Message());
  }
}

// `done` for a call that answers nothing but success.
std::function<void(base::Result<void>)> Emptily(AgentService::Done<proto::Empty> done) {
  return [done = std::move(done)](base::Result<void> result) {
    if (!result) return done(std::move(result.error()));
    done(proto::Empty());
  };
}

// Nothing is filled in for a cpuset without restrictions.
base::Result<void> FillCpuset(const proto::Cpuset& cpuset, oci::Resources& resources) {
  if (cpuset.vcpus_size() == 0 && cpuset.nodes_size() == 0) return base::Ok();
  if (!resources.cpu) resources.cpu.emplace();
  resources.cpu->cpus = TRY(
      CpuListOf({cpuset.vcpus().data(), static_cast<size_t>(cpuset.vcpus_size())}), "cpuset.vcpus");
  resources.cpu->mems = fmt::format("{}", fmt::join(cpuset.nodes(), ","));
  return base::Ok();
}

}  // namespace

base::Result<void> CheckId(const char* what, const std::string& id) {
  bool good = !id.empty() && id.size() <= kMaxIdBytes && IsAlphanumeric(id[0]);
  for (const char c : id) good = good && (IsAlphanumeric(c) || c == '_' || c == '.' || c == '-');
  if (good) return base::Ok();
  return base::MakeError(
      base::Code::kInvalidArgument,
      "{} \"{}\": 1 to {} of [A-Za-z0-9_.-] are wanted, the first a letter or digit", what,
      id.substr(0, kMaxIdBytes), kMaxIdBytes);
}

AgentService::AgentService(const Environment& environment, Events events)
    : environment_(environment),
      events_(std::move(events)),
      port_forward_(environment.loop, [this](uint64_t id) {
        return environment_.dial_stream({"", std::to_string(id)}, StreamKind::kForward);
      }) {}

AgentService::~AgentService() = default;

void AgentService::RegisterWith(ttrpc::ServiceTable& table) {
  const auto add = [&]<class Request, class Response>(
                       const char* method,
                       std::function<void(const Request&, const Done<Response>&)> handler) {
    table.RegisterUnary<Request, Response>(
        kService, method,
        [handler = std::move(handler)](const ttrpc::CallContext&, const Request& request,
                                       Done<Response> done) { handler(request, done); });
  };
  using namespace proto;  // NOLINT: the messages, in this function alone
  add.operator()<HelloRequest, HelloResponse>(
      "Hello", [this](const auto& request, const auto& done) { Hello(request, done); });
  add.operator()<ConfigurePodRequest, Empty>(
      "ConfigurePod",
      [this](const auto& request, const auto& done) { ConfigurePod(request, done); });
  add.operator()<ConfigureNetworkRequest, Empty>(
      "ConfigureNetwork",
      [this](const auto& request, const auto& done) { ConfigureNetwork(request, done); });
  add.operator()<ForwardPortRequest, Empty>(
      "ForwardPort", [this](const auto& request, const auto& done) { Forward(request, done); });
  add.operator()<CreateContainerRequest, CreateContainerResponse>(
      "CreateContainer", [this](const auto& request, const auto& done) { Create(request, done); });
  add.operator()<ExecProcessRequest, CreateContainerResponse>(
      "ExecProcess", [this](const auto& request, const auto& done) { Exec(request, done); });
  add.operator()<ResizeTerminalRequest, Empty>(
      "ResizeTerminal", [this](const auto& request, const auto& done) { Resize(request, done); });
  add.operator()<FreezeContainerRequest, Empty>(
      "FreezeContainer", [this](const auto& request, const auto& done) { Freeze(request, done); });
  add.operator()<UpdateContainerRequest, Empty>(
      "UpdateContainer", [this](const auto& request, const auto& done) { Update(request, done); });
  add.operator()<ProcessRequest, ContainerStatsResponse>(
      "ContainerStats", [this](const auto& request, const auto& done) { Stats(request, done); });
  add.operator()<WaitOomRequest, WaitOomResponse>(
      "WaitOom", [this](const auto& request, const auto& done) { WaitOom(request, done); });
  add.operator()<ProcessRequest, Empty>(
      "StartProcess", [this](const auto& request, const auto& done) { Start(request, done); });
  add.operator()<ProcessRequest, WaitProcessResponse>(
      "WaitProcess", [this](const auto& request, const auto& done) { Wait(request, done); });
  add.operator()<SignalProcessRequest, Empty>(
      "SignalProcess", [this](const auto& request, const auto& done) { Signal(request, done); });
  add.operator()<ProcessRequest, ListPidsResponse>(
      "ListPids", [this](const auto& request, const auto& done) { ListPids(request, done); });
  add.operator()<ProcessRequest, Empty>(
      "DeleteProcess", [this](const auto& request, const auto& done) { Delete(request, done); });
  add.operator()<CpusRequest, CpusResponse>(
      "OnlineCpus",
      [this](const auto& request, const auto& done) { SetCpus(request, true, done); });
  add.operator()<CpusRequest, CpusResponse>(
      "OfflineCpus",
      [this](const auto& request, const auto& done) { SetCpus(request, false, done); });
  add.operator()<Empty, Empty>("Shutdown",
                               [this](const auto&, const auto& done) { Shutdown(done); });
}

base::Result<Container*> AgentService::Find(const std::string& id) {
  const auto found = containers_.find(id);
  if (found == containers_.end() || !found->second) {
    return base::MakeError(base::Code::kNotFound, "container \"{}\": there is none", id);
  }
  return found->second.get();
}

// From a callback of the container's own, which must not destroy it; the id is taken until then.
void AgentService::Forget(const std::string& id) {
  environment_.loop.Post([this, id] { containers_.erase(id); });
}

void AgentService::Hello(const proto::HelloRequest& request,
                         const Done<proto::HelloResponse>& done) {
  SetClock(request.host_time_ns());
  events_.on_hello(request.stream_token());
  proto::HelloResponse response;
  response.set_agent_version(kVersion);
  utsname names{};
  if (uname(&names) == 0) response.set_kernel_release(names.release);
  const base::Result<std::string> online = base::ReadFile("/sys/devices/system/cpu/online");
  if (online) {
    for (const uint32_t cpu : ParseCpuList(*online)) response.add_online_cpus(cpu);
  }
  done(std::move(response));
}

void AgentService::ConfigurePod(const proto::ConfigurePodRequest& request,
                                const Done<proto::Empty>& done) {
  Emptily(done)(ApplyPodSettings({request.hostname(),
                                  request.domainname(),
                                  {request.sysctl().begin(), request.sysctl().end()}}));
}

void AgentService::ConfigureNetwork(const proto::ConfigureNetworkRequest& request,
                                    const Done<proto::Empty>& done) {
  base::Result<NetworkPlan> plan = ReadNetworkPlan(request);
  if (!plan) return done(std::move(plan.error()));
  Emptily(done)(ApplyNetworkPlan(std::move(*plan)));
}

void AgentService::Forward(const proto::ForwardPortRequest& request,
                           const Done<proto::Empty>& done) {
  port_forward_.Open(request.id(), request.address(), request.port(), Emptily(done));
}

void AgentService::Create(const proto::CreateContainerRequest& request,
                          Done<proto::CreateContainerResponse> done) {
  const std::string& id = request.container_id();
  if (base::Result<void> good = CheckId("container_id", id); !good)
    return done(std::move(good.error()));
  if (containers_.count(id) != 0) {
    return done(base::MakeError(base::Code::kAlreadyExists, "container \"{}\" exists", id));
  }
  base::Result<oci::Spec> spec = oci::Parse(request.spec_json());
  if (!spec) {
    spec.error().Push(__FILE__, __LINE__, "container {}: spec_json", id);
    return done(std::move(spec.error()));
  }
  base::Result<void> confined = FillCpuset(request.cpuset(), spec->linux_config.resources);
  if (!confined) return done(std::move(confined.error()));
  auto on_created = [this, id, done](base::Result<void> result) {
    if (!result) {
      Forget(id);
      return done(std::move(result.error()));
    }
    proto::CreateContainerResponse response;
    response.set_guest_pid(static_cast<uint32_t>((*containers_.at(id)->Find(""))->pid()));
    done(std::move(response));
  };
  base::Result<std::unique_ptr<Container>> container = Container::Create(
      environment_, id, {request.open_stdin(), request.open_stdout(), request.open_stderr()}, *spec,
      std::move(on_created));
  if (!container) return done(std::move(container.error()));
  containers_[id] = std::move(*container);
}

void AgentService::Exec(const proto::ExecProcessRequest& request,
                        const Done<proto::CreateContainerResponse>& done) {
  base::Result<Container*> container = Find(request.container_id());
  if (!container) return done(std::move(container.error()));
  const std::string& exec_id = request.exec_id();
  if (base::Result<void> good = CheckId("exec_id", exec_id); !good) {
    return done(std::move(good.error()));
  }
  base::Result<oci::Process> process = oci::ParseProcess(request.process_json());
  if (!process) {
    process.error().Push(__FILE__, __LINE__, "exec {}: process_json", exec_id);
    return done(std::move(process.error()));
  }
  (*container)
      ->Exec(exec_id, {request.open_stdin(), request.open_stdout(), request.open_stderr()},
             *process, [container = *container, exec_id, done](base::Result<void> result) {
               if (!result) return done(std::move(result.error()));
               proto::CreateContainerResponse response;
               response.set_guest_pid(static_cast<uint32_t>((*container->Find(exec_id))->pid()));
               done(std::move(response));
             });
}

void AgentService::Start(const proto::ProcessRequest& request, const Done<proto::Empty>& done) {
  base::Result<Container*> container = Find(request.container_id());
  if (!container) return done(std::move(container.error()));
  (*container)->Start(request.exec_id(), Emptily(done));
}

void AgentService::Wait(const proto::ProcessRequest& request,
                        const Done<proto::WaitProcessResponse>& done) {
  base::Result<Container*> container = Find(request.container_id());
  if (!container) return done(std::move(container.error()));
  (*container)->Wait(request.exec_id(), [done](base::Result<uint32_t> exit_status) {
    if (!exit_status) return done(std::move(exit_status.error()));
    proto::WaitProcessResponse response;
    response.set_exit_status(*exit_status);
    done(std::move(response));
  });
}

void AgentService::Signal(const proto::SignalProcessRequest& request,
                          const Done<proto::Empty>& done) {
  base::Result<Container*> container = Find(request.container_id());
  if (!container) return done(std::move(container.error()));
  // Any number over INT_MAX is out of Signal's range as well.
  const int number = static_cast<int>(std::min(request.signal(), 0x7fffffffU));
  Emptily(done)((*container)->Signal(request.exec_id(), number, request.all()));
}

void AgentService::ListPids(const proto::ProcessRequest& request,
                            const Done<proto::ListPidsResponse>& done) {
  base::Result<Container*> container = Find(request.container_id());
  if (!container) return done(std::move(container.error()));
  base::Result<std::vector<pid_t>> pids = (*container)->OtherPids();
  if (!pids) return done(std::move(pids.error()));
  proto::ListPidsResponse response;
  for (const pid_t pid : *pids) response.add_guest_pids(static_cast<uint32_t>(pid));
  done(std::move(response));
}

void AgentService::Delete(const proto::ProcessRequest& request, const Done<proto::Empty>& done) {
  base::Result<Container*> container = Find(request.container_id());
  if (!container) return done(std::move(container.error()));
  if (!request.exec_id().empty()) return (*container)->Delete(request.exec_id(), Emptily(done));
  (*container)->Delete("", [this, id = request.container_id(), done](base::Result<void> result) {
    if (!result) return done(std::move(result.error()));
    // The answer after the id is free: a caller may create it again at once.
    environment_.loop.Post([this, id, done] {
      containers_.erase(id);
      done(proto::Empty());
    });
  });
}

void AgentService::Resize(const proto::ResizeTerminalRequest& request,
                          const Done<proto::Empty>& done) {
  base::Result<Container*> container = Find(request.container_id());
  if (!container) return done(std::move(container.error()));
  base::Result<Process*> process = (*container)->Find(request.exec_id());
  if (!process) return done(std::move(process.error()));
  Emptily(done)((*process)->Resize(request.columns(), request.rows()));
}

void AgentService::Freeze(const proto::FreezeContainerRequest& request,
                          const Done<proto::Empty>& done) {
  base::Result<Container*> container = Find(request.container_id());
  if (!container) return done(std::move(container.error()));
  (*container)->Freeze(request.frozen(), Emptily(done));
}

void AgentService::Update(const proto::UpdateContainerRequest& request,
                          const Done<proto::Empty>& done) {
  base::Result<Container*> container = Find(request.container_id());
  if (!container) return done(std::move(container.error()));
  base::Result<oci::Resources> resources = oci::ParseLinuxResources(request.resources_json());
  if (!resources) return done(std::move(resources.error()));
  base::Result<void> updated = FillCpuset(request.cpuset(), *resources);
  if (updated) updated = (*container)->Update(*resources);
  if (updated && request.has_cpuset()) {
    const std::optional<oci::CpuLimits>& cpu = resources->cpu;
    updated = (*container)->SetCpuset(cpu ? cpu->cpus : "", cpu ? cpu->mems : "");
  }
  Emptily(done)(std::move(updated));
}

void AgentService::Stats(const proto::ProcessRequest& request,
                         const Done<proto::ContainerStatsResponse>& done) {
  base::Result<Container*> container = Find(request.container_id());
  if (!container) return done(std::move(container.error()));
  const CgroupStats stats = (*container)->Stats();
  proto::ContainerStatsResponse response;
  response.mutable_values()->insert(stats.values.begin(), stats.values.end());
  for (const IoStats& device : stats.io) {
    auto* io = response.add_io();
    io->set_major(device.major);
    io->set_minor(device.minor);
    io->set_rbytes(device.rbytes);
    io->set_wbytes(device.wbytes);
    io->set_rios(device.rios);
    io->set_wios(device.wios);
  }
  done(std::move(response));
}

void AgentService::WaitOom(const proto::WaitOomRequest& request,
                           const Done<proto::WaitOomResponse>& done) {
  base::Result<Container*> container = Find(request.container_id());
  if (!container) return done(std::move(container.error()));
  (*container)->WaitOom(request.seen(), [done](base::Result<uint64_t> kills) {
    if (!kills) return done(std::move(kills.error()));
    proto::WaitOomResponse response;
    response.set_kills(*kills);
    done(std::move(response));
  });
}

void AgentService::SetCpus(const proto::CpusRequest& request, bool online,
                           const Done<proto::CpusResponse>& done) {
  base::Result<std::vector<GuestCpu>> cpus =
      SetCpusOnline({request.vcpus().data(), static_cast<size_t>(request.vcpus_size())}, online);
  if (!cpus) return done(std::move(cpus.error()));
  proto::CpusResponse response;
  for (const GuestCpu& cpu : *cpus) {
    proto::CpusResponse::Cpu& row = *response.add_cpus();
    row.set_number(cpu.number);
    row.set_vcpu(cpu.vcpu);
    row.set_online(cpu.online);
  }
  done(std::move(response));
}

void AgentService::Shutdown(const Done<proto::Empty>& done) {
  for (const auto& [id, container] : containers_) {
    static_cast<void>(container->Signal("", 9, true));
  }
  sync();
  done(proto::Empty());
  events_.on_shutdown();
}

}  // namespace agent
