// Calls at a shim's socket what ctr has no command for: Task.Update, as nerdctl and the kubelet do
// through containerd, State and execs so often that their latency shows, and calls that no client
// should make. Speaks what the shim announces.
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent-proto/grpc/testing_client.h"
#include "agent-proto/proto/containerd/task.pb.h"
#include "agent-proto/ttrpc/client.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/file.h"
#include "runtime/base/socket.h"
#include "runtime/shim/address.h"

namespace {

constexpr const char* kUsage =
    "usage: task_client ADDRESS update ID RESOURCES\n"
    "       task_client ADDRESS state|exec ID COUNT\n"
    "       task_client ADDRESS call METHOD <MESSAGE\n"
    "ADDRESS: what the file \"address\" of a bundle has, for ttrpc or for gRPC.\n"
    "RESOURCES: linux.resources of an OCI spec, JSON.\n"
    "state, exec (of true, to its Delete): COUNT times, one after the other; prints the\n"
    "microseconds of each, a line each.\n"
    "call: MESSAGE is sent as it is, and the answer's written to stdout.\n"
    "Exit status: 0; 1 with the answer's code and words on stderr; 2: wrong usage.\n";
constexpr std::chrono::minutes kPatience{5};
constexpr int kMaxCount = 1'000'000;
constexpr size_t kMaxMessageBytes = 8 << 20;  // more than a shim takes
// The one that shims of every containerd serve, runc's included.
constexpr const char* kService = "containerd.task.v2.Task";
constexpr const char* kResources =
    "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";
constexpr const char* kProcess = "types.containerd.io/opencontainers/runtime-spec/1/Process";
constexpr const char* kTrue =
    R"({"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/usr/bin:/bin"]})";

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

// Does `step` COUNT times, one after the other, and prints what each took.
base::Result<void> Repeat(std::string_view count_text,
                          const std::function<base::Result<void>()>& step) {
  int count = 0;
  const char* const end = count_text.data() + count_text.size();
  if (std::from_chars(count_text.data(), end, count).ptr != end || count < 1 || count > kMaxCount) {
    return base::MakeError(base::Code::kInvalidArgument, "COUNT {}: must be 1 to {}", count_text,
                           kMaxCount);
  }
  while (count-- > 0) {
    const auto begin = std::chrono::steady_clock::now();
    TRY(step());
    const auto took = std::chrono::steady_clock::now() - begin;
    printf("%lld\n", static_cast<long long>(
                         std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
  }
  return base::Ok();
}

base::Result<void> State(const Caller& call, const std::string& id) {
  containerd::task::StateRequest request;
  request.set_id(id);
  TRY(call("State", request.SerializeAsString()));
  return base::Ok();
}

// The life of an exec without stdio.
base::Result<void> Exec(const Caller& call, const std::string& id) {
  constexpr const char* kExecId = "task-client";
  const auto of_exec = [&](auto request) {
    request.set_id(id);
    request.set_exec_id(kExecId);
    return request;
  };
  auto exec = of_exec(containerd::task::ExecProcessRequest());
  exec.mutable_spec()->set_type_url(kProcess);
  exec.mutable_spec()->set_value(kTrue);
  TRY(call("Exec", exec.SerializeAsString()));
  TRY(call("Start", of_exec(containerd::task::StartRequest()).SerializeAsString()));
  TRY(call("Wait", of_exec(containerd::task::WaitRequest()).SerializeAsString()));
  TRY(call("Delete", of_exec(containerd::task::DeleteRequest()).SerializeAsString()));
  return base::Ok();
}

base::Result<void> CallRaw(const Caller& call, const std::string& method) {
  const std::string message =
      TRY(base::ReadAll(base::BorrowedFd(STDIN_FILENO), kMaxMessageBytes), "stdin");
  const std::string answer = TRY(call(method, message));
  return base::WriteAll(base::BorrowedFd(STDOUT_FILENO), answer);
}

bool IsUsage(const std::vector<std::string>& words) {
  if (words.size() == 3) return words[1] == "call";
  return words.size() == 4 && (words[1] == "update" || words[1] == "state" || words[1] == "exec");
}

base::Result<void> Run(const std::vector<std::string>& words) {
  const Caller call = TRY(Dial(words[0]));
  if (words[1] == "call") return CallRaw(call, words[2]);
  const std::string& id = words[2];
  if (words[1] == "update") return Update(call, id, words[3]);
  return Repeat(words[3], [&] { return words[1] == "state" ? State(call, id) : Exec(call, id); });
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (!IsUsage(words)) {
    fputs(kUsage, stderr);
    return 2;
  }
  const base::Result<void> done = Run(words);
  if (done) return 0;
  fprintf(stderr, "code %d: %s\n", static_cast<int>(done.error().code()),
          done.error().Message().c_str());
  return 1;
}
