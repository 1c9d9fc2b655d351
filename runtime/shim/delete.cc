#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ctime>

#include "agent-proto/proto/containerd/task.pb.h"
#include "runtime/base/file.h"
#include "runtime/base/socket.h"
#include "runtime/pod/pod.h"
#include "runtime/shim/address.h"
#include "runtime/shim/bootstrap.h"
#include "runtime/shim/rootfs_mounts.h"
#include "runtime/shim/start_lock.h"

namespace shim {
namespace {

constexpr uint32_t kKilledStatus = 128 + SIGKILL;
constexpr size_t kMaxAddressBytes = 4096;
constexpr std::string_view kScheme = "unix://";

// What `start` left in the bundle; without it (a start that failed) what it would have chosen.
base::Result<std::string> FindSocket(const Flags& flags, const std::string& key,
                                     const std::string& bundle) {
  base::Result<std::string> address = base::ReadFile(bundle + "/address", kMaxAddressBytes);
  if (address && address->compare(0, kScheme.size(), kScheme) == 0) {
    return address->substr(kScheme.size());
  }
  return SocketPath(flags.address, flags.ns, key);
}

bool Answers(const std::string& socket) {
  const base::Result<base::UniqueFd> connected =
      base::ConnectUnix(socket, SOCK_STREAM | SOCK_NONBLOCK);
  return connected || connected.error().error_number() == EAGAIN;
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
  const std::string socket = TRY(FindSocket(flags, key, bundle));
  const base::UniqueFd lock = TRY(LockPod(socket));
  pod::DeleteInfo info;
  info.exit_status = kKilledStatus;
  clock_gettime(CLOCK_REALTIME, &info.exited_at);
  if (!Answers(socket)) {
    info = TRY(pod::CleanUp(flags.ns, key, bundle), "clean up pod {}", key);
    unlink(socket.c_str());
  }
  TRY(UnmountAll(bundle + "/rootfs"));
  return Response(info);
}

}  // namespace shim
