// Calls what ctr has no command for: Task.Update at a shim's socket, as nerdctl and the kubelet do
// through containerd.
#include <sys/socket.h>

#include <cstdio>
#include <cstring>
#include <optional>
#include <string>

#include "agent-proto/proto/containerd/task.pb.h"
#include "agent-proto/ttrpc/client.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/socket.h"

namespace {

constexpr const char* kUsage =
    "usage: task_client SOCKET update ID RESOURCES\n"
    "SOCKET: a path, or unix://PATH; RESOURCES: linux.resources of an OCI spec, JSON.\n"
    "Exit status: 0; 1 with the answer's code and words on stderr; 2: wrong usage.\n";
constexpr std::chrono::minutes kPatience{5};
constexpr const char* kResources =
    "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

base::Result<void> Update(const std::string& socket, const std::string& id,
                          const std::string& resources) {
  const std::unique_ptr<base::EventLoop> loop = TRY(base::EventLoop::Create());
  base::UniqueFd connection = TRY(base::ConnectUnix(socket, SOCK_STREAM | SOCK_NONBLOCK));
  const std::unique_ptr<ttrpc::Client> client =
      TRY(ttrpc::Client::Create(*loop, std::move(connection), [] {}));
  containerd::task::UpdateTaskRequest request;
  request.set_id(id);
  request.mutable_resources()->set_type_url(kResources);
  request.mutable_resources()->set_value(resources);
  std::optional<base::Result<void>> answer;
  client->CallRaw("containerd.task.v3.Task", "Update", request.SerializeAsString(),
                  {.timeout = kPatience}, [&](base::Result<std::string> raw) {
                    if (raw) {
                      answer.emplace(base::Ok());
                    } else {
                      answer.emplace(std::move(raw.error()));
                    }
                  });
  while (!answer) TRY(loop->RunOnce(kPatience));
  return std::move(*answer);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 || strcmp(argv[2], "update") != 0) {
    fputs(kUsage, stderr);
    return 2;
  }
  std::string socket = argv[1];
  if (socket.starts_with("unix://")) socket.erase(0, strlen("unix://"));
  const base::Result<void> updated = Update(socket, argv[3], argv[4]);
  if (updated) return 0;
  fprintf(stderr, "code %d: %s\n", static_cast<int>(updated.error().code()),
          updated.error().Message().c_str());
  return 1;
}
