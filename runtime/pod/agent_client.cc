#include "runtime/pod/agent_client.h"

#include <cerrno>
#include <ctime>
#include <utility>

#include "agent-proto/proto/agent.pb.h"
#include "agent-proto/ttrpc/client.h"
#include "runtime/base/log.h"
#include "runtime/pod/network.h"
#include "runtime/pod/pod.h"

namespace pod {
namespace {

using base::Code;
using base::MakeError;
namespace v1 = pinion::agent::v1;

constexpr const char* kService = "pinion.agent.v1.Agent";
// Of an answer: the longest are 4096 pids and 1024 numbers with their names. Parsed, two bytes of a
// hostile one may become eighty.
constexpr size_t kMaxAnswerBytes = 256 << 10;
constexpr size_t kMaxTextCharacters = 256;
constexpr int kMaxCpus = 4096;
constexpr size_t kMaxStats = 1024;  // numbers of a container, or devices
constexpr size_t kMaxPids = 4096;
constexpr uint32_t kMaxPid = 1 << 22;  // proc(5), pid_max
constexpr size_t kMaxNameBytes = 128;  // of a number

// What the guest says in an error is shown to users: printable, and not endless. kUnavailable is
// our own word, for a machine that has ended; in the guest it may be any broken pipe.
base::Error Cleaned(const base::Error& error) {
  const bool said = error.code() == Code::kUnavailable && error.error_number() != ENOTCONN;
  return base::Error(said ? Code::kUnknown : error.code(), base::Escaped(error.Message(), 2048));
}

v1::ProcessRequest ProcessOf(const std::string& container_id, const std::string& exec_id) {
  v1::ProcessRequest request;
  request.set_container_id(container_id);
  request.set_exec_id(exec_id);
  return request;
}

void FillCpuset(const cpu::GuestCpuset& cpuset, v1::Cpuset* message) {
  message->mutable_vcpus()->Add(cpuset.vcpus.begin(), cpuset.vcpus.end());
  message->mutable_nodes()->Add(cpuset.nodes.begin(), cpuset.nodes.end());
}

int64_t HostTimeNs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// A call whose answer holds nothing.
template <class Request>
void CallForNothing(ttrpc::Client& client, const char* method, const Request& request,
                    const ttrpc::CallOptions& options, AgentClient::Callback<void> done) {
  client.Call<v1::Empty>(kService, method, request, options,
                         [done = std::move(done)](base::Result<v1::Empty> answer) {
                           if (!answer) return done(Cleaned(answer.error()));
                           done(base::Ok());
                         });
}

}  // namespace

AgentClient::AgentClient(std::chrono::nanoseconds call_timeout) : call_timeout_(call_timeout) {}
AgentClient::~AgentClient() = default;

void AgentClient::Close() {
  client_.reset();
  for (const auto& [id, fail] : std::exchange(pending_, {})) fail();
}

template <class T>
AgentClient::Callback<T> AgentClient::Track(Callback<T> done) {
  const uint64_t id = next_id_++;
  pending_[id] = [done] { done(MakeError(Code::kUnavailable, "the machine has ended")); };
  // `this` outlives the client, which drops its callbacks when it goes.
  return [this, id, done = std::move(done)](base::Result<T> result) {
    pending_.erase(id);
    done(std::move(result));
  };
}

base::Result<std::unique_ptr<AgentClient>> AgentClient::Create(
    base::EventLoop& loop, base::UniqueFd connection, std::chrono::nanoseconds call_timeout,
    std::function<void()> on_closed) {
  std::unique_ptr<AgentClient> agent(new AgentClient(call_timeout));
  agent->client_ = TRY(
      ttrpc::Client::Create(loop, std::move(connection), std::move(on_closed), kMaxAnswerBytes));
  return agent;
}

// Machine makes no calls after Close.
void AgentClient::Hello(const std::string& stream_token, Callback<GuestInfo> done) {
  v1::HelloRequest request;
  request.set_host_time_ns(HostTimeNs());
  request.set_stream_token(stream_token);
  client_->Call<v1::HelloResponse>(
      kService, "Hello", request, {.timeout = call_timeout_},
      [done = Track(std::move(done))](base::Result<v1::HelloResponse> answer) {
        if (!answer) return done(Cleaned(answer.error()));
        if (answer->online_cpus_size() > kMaxCpus) {
          return done(MakeError(Code::kInternal, "Hello: the guest claims {} CPUs",
                                answer->online_cpus_size()));
        }
        done(GuestInfo{base::Escaped(answer->agent_version(), kMaxTextCharacters),
                       base::Escaped(answer->kernel_release(), kMaxTextCharacters),
                       {answer->online_cpus().begin(), answer->online_cpus().end()}});
      });
}

void AgentClient::ConfigurePod(const PodSettings& settings, Callback<void> done) {
  v1::ConfigurePodRequest request;
  request.set_hostname(settings.hostname);
  request.set_domainname(settings.domainname);
  request.mutable_sysctl()->insert(settings.sysctl.begin(), settings.sysctl.end());
  CallForNothing(*client_, "ConfigurePod", request, {.timeout = call_timeout_},
                 Track(std::move(done)));
}

void AgentClient::ConfigureNetwork(const network::Survey& survey, Callback<void> done) {
  v1::ConfigureNetworkRequest request;
  FillNetworkRequest(survey, &request);
  CallForNothing(*client_, "ConfigureNetwork", request, {.timeout = call_timeout_},
                 Track(std::move(done)));
}

void AgentClient::ForwardPort(const PortForward::Target& target, Callback<void> done) {
  v1::ForwardPortRequest request;
  request.set_id(target.id);
  request.set_address(target.address);
  request.set_port(target.port);
  CallForNothing(*client_, "ForwardPort", request, {.timeout = call_timeout_},
                 Track(std::move(done)));
}

void AgentClient::CreateContainer(const ContainerRequest& request, Callback<pid_t> done) {
  v1::CreateContainerRequest message;
  message.set_container_id(request.container_id);
  message.set_spec_json(request.spec_json);
  message.set_open_stdin(request.open_stdin);
  message.set_open_stdout(request.open_stdout);
  message.set_open_stderr(request.open_stderr);
  FillCpuset(request.cpuset, message.mutable_cpuset());
  client_->Call<v1::CreateContainerResponse>(
      kService, "CreateContainer", message, {.timeout = call_timeout_},
      [done = Track(std::move(done))](base::Result<v1::CreateContainerResponse> answer) {
        if (!answer) return done(Cleaned(answer.error()));
        if (answer->guest_pid() < 2 || answer->guest_pid() > kMaxPid) {
          return done(MakeError(Code::kInternal, "CreateContainer: the guest claims pid {}",
                                answer->guest_pid()));
        }
        done(static_cast<pid_t>(answer->guest_pid()));
      });
}

void AgentClient::Start(const std::string& container_id, const std::string& exec_id,
                        Callback<void> done) {
  CallForNothing(*client_, "StartProcess", ProcessOf(container_id, exec_id),
                 {.timeout = call_timeout_}, Track(std::move(done)));
}

void AgentClient::Wait(const std::string& container_id, const std::string& exec_id,
                       Callback<uint32_t> done) {
  client_->Call<v1::WaitProcessResponse>(
      kService, "WaitProcess", ProcessOf(container_id, exec_id), {},
      [done = Track(std::move(done))](base::Result<v1::WaitProcessResponse> answer) {
        if (!answer) return done(Cleaned(answer.error()));
        if (answer->exit_status() > 255) {
          return done(MakeError(Code::kInternal, "WaitProcess: exit status {}, at most 255",
                                answer->exit_status()));
        }
        done(answer->exit_status());
      });
}

void AgentClient::Signal(const std::string& container_id, const std::string& exec_id,
                         uint32_t signal, bool all, Callback<void> done) {
  v1::SignalProcessRequest request;
  request.set_container_id(container_id);
  request.set_exec_id(exec_id);
  request.set_signal(signal);
  request.set_all(all);
  CallForNothing(*client_, "SignalProcess", request, {.timeout = call_timeout_},
                 Track(std::move(done)));
}

void AgentClient::Delete(const std::string& container_id, const std::string& exec_id,
                         Callback<void> done) {
  CallForNothing(*client_, "DeleteProcess", ProcessOf(container_id, exec_id),
                 {.timeout = call_timeout_}, Track(std::move(done)));
}

void AgentClient::Exec(const ExecRequest& request, Callback<void> done) {
  v1::ExecProcessRequest message;
  message.set_container_id(request.container_id);
  message.set_exec_id(request.exec_id);
  message.set_process_json(request.process_json);
  message.set_open_stdin(request.open_stdin);
  message.set_open_stdout(request.open_stdout);
  message.set_open_stderr(request.open_stderr);
  client_->Call<v1::CreateContainerResponse>(
      kService, "ExecProcess", message, {.timeout = call_timeout_},
      [done = Track(std::move(done))](base::Result<v1::CreateContainerResponse> answer) {
        if (!answer) return done(Cleaned(answer.error()));
        done(base::Ok());
      });
}

void AgentClient::Resize(const std::string& container_id, const std::string& exec_id,
                         uint32_t columns, uint32_t rows, Callback<void> done) {
  v1::ResizeTerminalRequest request;
  request.set_container_id(container_id);
  request.set_exec_id(exec_id);
  request.set_columns(columns);
  request.set_rows(rows);
  CallForNothing(*client_, "ResizeTerminal", request, {.timeout = call_timeout_},
                 Track(std::move(done)));
}

void AgentClient::Freeze(const std::string& container_id, bool frozen, Callback<void> done) {
  v1::FreezeContainerRequest request;
  request.set_container_id(container_id);
  request.set_frozen(frozen);
  CallForNothing(*client_, "FreezeContainer", request, {.timeout = call_timeout_},
                 Track(std::move(done)));
}

void AgentClient::Update(const std::string& container_id, const std::string& resources_json,
                         const cpu::GuestCpuset& cpuset, Callback<void> done) {
  v1::UpdateContainerRequest request;
  request.set_container_id(container_id);
  request.set_resources_json(resources_json);
  FillCpuset(cpuset, request.mutable_cpuset());
  CallForNothing(*client_, "UpdateContainer", request, {.timeout = call_timeout_},
                 Track(std::move(done)));
}

void AgentClient::OnlineCpus(const std::vector<uint32_t>& vcpus, Callback<void> done) {
  SetCpus("OnlineCpus", vcpus, std::move(done));
}

void AgentClient::OfflineCpus(const std::vector<uint32_t>& vcpus, Callback<void> done) {
  SetCpus("OfflineCpus", vcpus, std::move(done));
}

void AgentClient::SetCpus(const char* method, const std::vector<uint32_t>& vcpus,
                          Callback<void> done) {
  v1::CpusRequest request;
  request.mutable_vcpus()->Add(vcpus.begin(), vcpus.end());
  client_->Call<v1::CpusResponse>(
      kService, method, request, {.timeout = call_timeout_},
      [done = Track(std::move(done))](base::Result<v1::CpusResponse> answer) {
        if (!answer) return done(Cleaned(answer.error()));
        done(base::Ok());
      });
}

void AgentClient::Stats(const std::string& container_id, Callback<ContainerStats> done) {
  client_->Call<v1::ContainerStatsResponse>(
      kService, "ContainerStats", ProcessOf(container_id, ""), {.timeout = call_timeout_},
      [done = Track(std::move(done))](base::Result<v1::ContainerStatsResponse> answer) {
        if (!answer) return done(Cleaned(answer.error()));
        ContainerStats stats;
        // Names are looked up, never shown; what is too much of anything is left out.
        for (const auto& [name, value] : answer->values()) {
          if (stats.values.size() >= kMaxStats) break;
          if (name.size() <= kMaxNameBytes) stats.values[name] = value;
        }
        for (const auto& io : answer->io()) {
          if (stats.io.size() >= kMaxStats) break;
          stats.io.push_back(
              {io.major(), io.minor(), io.rbytes(), io.wbytes(), io.rios(), io.wios()});
        }
        done(std::move(stats));
      });
}

void AgentClient::OtherPids(const std::string& container_id, std::chrono::nanoseconds timeout,
                            Callback<std::vector<pid_t>> done) {
  client_->Call<v1::ListPidsResponse>(
      kService, "ListPids", ProcessOf(container_id, ""), {.timeout = timeout},
      [done = Track(std::move(done))](base::Result<v1::ListPidsResponse> answer) {
        if (!answer) return done(Cleaned(answer.error()));
        std::vector<pid_t> pids;
        for (const uint32_t pid : answer->guest_pids()) {
          if (pids.size() >= kMaxPids) break;
          if (pid >= 1 && pid <= uint32_t{kGuestPids}) pids.push_back(static_cast<pid_t>(pid));
        }
        done(std::move(pids));
      });
}

void AgentClient::WaitOom(const std::string& container_id, uint64_t seen, Callback<uint64_t> done) {
  v1::WaitOomRequest request;
  request.set_container_id(container_id);
  request.set_seen(seen);
  client_->Call<v1::WaitOomResponse>(
      kService, "WaitOom", request, {},
      [done = Track(std::move(done))](base::Result<v1::WaitOomResponse> answer) {
        if (!answer) return done(Cleaned(answer.error()));
        done(answer->kills());
      });
}

void AgentClient::Shutdown(std::chrono::nanoseconds timeout, Callback<void> done) {
  CallForNothing(*client_, "Shutdown", v1::Empty(), {.timeout = timeout}, Track(std::move(done)));
}

}  // namespace pod
