// Calls at a shim's socket what ctr has no command for: Task.Update, as nerdctl and the kubelet do
// through containerd, and State so often that its latency shows. Speaks what the shim announces.
#include <sys/socket.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "agent-proto/grpc/testing_client.h"
#include "agent-proto/proto/containerd/task.pb.h"
#include "agent-proto/ttrpc/client.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/socket.h"
#include "runtime/shim/address.h"

namespace {

constexpr const char* kUsage =
    "usage: task_client ADDRESS update ID RESOURCES\n"
    "       task_client ADDRESS state ID COUNT\n"
    "ADDRESS: what the file \"address\" of a bundle has, for ttrpc or for gRPC.\n"
    "RESOURCES: linux.resources of an OCI spec, JSON.\n"
    "state: prints a line for each of COUNT calls, one after the other: microseconds.\n"
    "Exit status: 0; 1 with the answer's code and words on stderr; 2: wrong usage.\n";
constexpr std::chrono::minutes kPatience{5};
constexpr int kMaxCount = 1'000'000;
// The one that shims of every containerd serve, runc's included.
constexpr const char* kService = "containerd.task.v2.Task";
constexpr const char* kResources =
    "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

// Calls a method with a message's bytes and waits for the answer's.
using Caller = std::function<base::Result<std::string>(const std::string&, const std::string&)>;

struct TtrpcLink {
  std::unique_ptr<base::EventLoop> loop;
  std::unique_ptr<ttrpc::Client> client;
};

base::Result<Caller> DialTtrpc(const std::string& socket) {
  auto link = std::make_shared<TtrpcLink>();  // shared, as a Caller may be copied
  link->loop = TRY(base::EventLoop::Create());
  base::UniqueFd connection = TRY(base::ConnectUnix(socket, SOCK_STREAM | SOCK_NONBLOCK));
  link->client = TRY(ttrpc::Client::Create(*link->loop, std::move(connection), [] {}));
  return Caller(
      [link](const std::string& method, const std::string& message) -> base::Result<std::string> {
        std::optional<base::Result<std::string>> answer;
        link->client->CallRaw(kService, method, message, {.timeout = kPatience},
                              [&](base::Result<std::string> raw) {
                                if (raw) {
                                  answer.emplace(std::move(*raw));
                                } else {
                                  answer.emplace(std::move(raw.error()));
                                }
                              });
        while (!answer) TRY(link->loop->RunOnce(kPatience));
        return std::move(*answer);
      });
}

base::Result<Caller> DialGrpc(const std::string& socket) {
  base::UniqueFd connection = TRY(base::ConnectUnix(socket, SOCK_STREAM | SOCK_NONBLOCK));
  auto client = std::make_shared<grpc_transport::TestingClient>(std::move(connection));
  return Caller([client](const std::string& method, const std::string& message) {
    const auto call = client->Begin(std::string("/") + kService + "/" + method, message, kPatience);
    while (!call->done) client->Poll(kPatience);
    return grpc_transport::TestingClient::Outcome(*call);
  });
}

base::Result<Caller> Dial(std::string_view address) {
  const shim::Endpoint endpoint = TRY(shim::ParseEndpoint(address));
  if (endpoint.transport == config::Transport::kTtrpc) return DialTtrpc(endpoint.socket);
  return DialGrpc(endpoint.socket);
}

base::Result<void> Update(const Caller& call, const std::string& id, const std::string& resources) {
  containerd::task::UpdateTaskRequest request;
  request.set_id(id);
  request.mutable_resources()->set_type_url(kResources);
  request.mutable_resources()->set_value(resources);
  TRY(call("Update", request.SerializeAsString()));
  return base::Ok();
}

base::Result<void> State(const Caller& call, const std::string& id, std::string_view count_text) {
  int count = 0;
  const char* const end = count_text.data() + count_text.size();
  if (std::from_chars(count_text.data(), end, count).ptr != end || count < 1 || count > kMaxCount) {
    return base::MakeError(base::Code::kInvalidArgument, "COUNT {}: must be 1 to {}", count_text,
                           kMaxCount);
  }
  containerd::task::StateRequest request;
  request.set_id(id);
  const std::string message = request.SerializeAsString();
  while (count-- > 0) {
    const auto begin = std::chrono::steady_clock::now();
    TRY(call("State", message));
    const auto took = std::chrono::steady_clock::now() - begin;
    printf("%lld\n", static_cast<long long>(
                         std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
  }
  return base::Ok();
}

base::Result<void> Run(const std::string& address, const std::string& verb, const std::string& id,
                       const std::string& argument) {
  const Caller call = TRY(Dial(address));
  return verb == "update" ? Update(call, id, argument) : State(call, id, argument);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 || (strcmp(argv[2], "update") != 0 && strcmp(argv[2], "state") != 0)) {
    fputs(kUsage, stderr);
    return 2;
  }
  const base::Result<void> done = Run(argv[1], argv[2], argv[3], argv[4]);
  if (done) return 0;
  fprintf(stderr, "code %d: %s\n", static_cast<int>(done.error().code()),
          done.error().Message().c_str());
  return 1;
}
