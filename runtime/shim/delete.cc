#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <vector>

#include "agent-proto/proto/containerd/task.pb.h"
#include "runtime/base/file.h"
#include "runtime/base/log.h"
#include "runtime/base/socket.h"
#include "runtime/pod/bundle_record.h"
#include "runtime/pod/hooks.h"
#include "runtime/pod/pod.h"
#include "runtime/shim/address.h"
#include "runtime/shim/bootstrap.h"
#include "runtime/shim/rootfs_mounts.h"
#include "runtime/shim/start_lock.h"

namespace shim {
namespace {

constexpr uint32_t kKilledStatus = 128 + SIGKILL;
constexpr size_t kMaxAddressBytes = 4096;
// containerd gives `delete` 5 s (core/runtime/v2/shim.go, cleanupTimeout), and kills it then.
constexpr std::chrono::seconds kHooksLimit{2};

// Where `start` says in the bundle that the daemon is, or containerd, for a member of a pod that
// was not started itself: its socket_dir is a setting. Without that (a start that failed) wherever
// it may be.
std::vector<std::string> FindSockets(const Flags& flags, const std::string& key,
                                     const std::string& bundle) {
  for (const char* name : {"/address", "/bootstrap.json"}) {
    const auto text = base::ReadFile(bundle + name, kMaxAddressBytes);
    if (!text) continue;
    if (const auto endpoint = ParseEndpoint(*text)) return {endpoint->socket};
  }
  return {SocketPath(flags.address, flags.ns, SocketKey(config::Transport::kTtrpc, key)),
          SocketPath(flags.address, flags.ns, SocketKey(config::Transport::kGrpc, key))};
}

// Only what shows that nobody is there counts as such: a pod is not cleaned away for want of
// memory.
bool MayAnswer(const std::string& socket) {
  const base::Result<base::UniqueFd> connected =
      base::ConnectUnix(socket, SOCK_STREAM | SOCK_NONBLOCK);
  if (connected) return true;
  switch (connected.error().error_number()) {
    case 0:  // no path of a socket
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ECONNREFUSED:
      return false;
    default:
      return true;
  }
}

// What the shim did not come to.
void RunPoststopHooks(const Flags& flags) {
  std::error_code gone;
  const std::string bundle =
      flags.bundle.empty() ? std::filesystem::current_path(gone).string() : flags.bundle;
  const base::Result<void> ran = pod::RunPoststopOf(flags.id, bundle, kHooksLimit);
  if (!ran) LOG_WARNING("container {}: poststop: {}", flags.id, ran.error().Message());
}

std::string Response(const pod::DeleteInfo& info) {
  containerd::task::DeleteResponse response;
  response.set_pid(static_cast<uint32_t>(info.pid));
  response.set_exit_status(info.exit_status);
  response.mutable_exited_at()->set_seconds(info.exited_at.tv_sec);
  response.mutable_exited_at()->set_nanos(static_cast<int32_t>(info.exited_at.tv_nsec));
  return response.SerializeAsString();
}

}  // namespace

base::Result<std::string> Delete(const Flags& flags) {
  TRY(CheckIdentifier("namespace", flags.ns));
  TRY(CheckIdentifier("id", flags.id));
  // containerd before 2.0 calls us in the bundle, too.
  const std::string bundle = flags.bundle.empty() ? "." : flags.bundle;
  // A config.json that cannot be read must not stop the clean-up.
  const std::string key = GroupingKeyHere(flags.id).value_or(flags.id);
  base::UniqueFd lock = TRY(LockPod(flags, key));
  const std::vector<std::string> sockets = FindSockets(flags, key, bundle);
  pod::DeleteInfo info;
  info.exit_status = kKilledStatus;
  clock_gettime(CLOCK_REALTIME, &info.exited_at);
  const bool shim_is_gone = std::none_of(sockets.begin(), sockets.end(), MayAnswer);
  if (shim_is_gone) {
    info = TRY(pod::CleanUp(flags.ns, key, bundle), "clean up pod {}", key);
    for (const std::string& socket : sockets) unlink(socket.c_str());
  }
  TRY(UnmountAll(bundle + "/rootfs"));
  lock.Reset();  // the pod's other containers need not wait for this one's hooks
  if (shim_is_gone) RunPoststopHooks(flags);
  return Response(pod::InfoFromBundle(bundle, info));
}

}  // namespace shim
