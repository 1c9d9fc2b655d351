#include <fcntl.h>
#include <linux/prctl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "runtime/base/file.h"
#include "runtime/base/log.h"
#include "runtime/base/socket.h"
#include "runtime/base/subprocess.h"
#include "runtime/shim/address.h"
#include "runtime/shim/bootstrap.h"
#include "runtime/shim/bundle_log.h"
#include "runtime/shim/daemon.h"
#include "runtime/shim/shim_cgroup.h"
#include "runtime/shim/start_lock.h"
#include "runtime/shim/start_options.h"
#include "runtime/shim/transport_choice.h"

namespace shim {
namespace {

using base::Code;
using base::MakeError;

constexpr size_t kMaxStdinBytes = 10 << 20;
constexpr int kMaxOomScoreAdj = 1000;

// A terminal is somebody trying the program by hand: there is nothing to read.
base::Result<StartOptions> ReadStartOptions(const Flags& flags) {
  if (isatty(STDIN_FILENO) != 0) return StartOptions();
  const std::string bytes =
      TRY(base::ReadAll(base::BorrowedFd(STDIN_FILENO), kMaxStdinBytes), "stdin");
  return ParseStartOptions(bytes, flags);
}

// A daemon answers there; what a dead one left is removed.
bool Served(const std::string& path) {
  const base::Result<base::UniqueFd> connected =
      base::ConnectUnix(path, SOCK_STREAM | SOCK_NONBLOCK);
  // EAGAIN: its backlog is full, so it is there.
  if (connected || connected.error().error_number() == EAGAIN) return true;
  if (connected.error().error_number() == ECONNREFUSED) unlink(path.c_str());
  return false;
}

// One more than containerd's, so that the kernel takes the shim before it takes containerd.
base::Result<void> AdjustOomScore(pid_t pid) {
  const std::string parent = TRY(base::ReadFile(fmt::format("/proc/{}/oom_score_adj", getppid())));
  const int score = std::min(atoi(parent.c_str()) + 1, kMaxOomScoreAdj);
  return base::WriteFile(fmt::format("/proc/{}/oom_score_adj", pid), std::to_string(score));
}

// SCHED_CORE is containerd's runtime setting of that name: the shim and its children get a core
// scheduling cookie of their own (Linux Documentation/admin-guide/hw-vuln/core-scheduling.rst).
base::Result<void> MakeSchedulingGroup() {
  if (getenv("SCHED_CORE") == nullptr) return base::Ok();
  if (prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_PROCESS_GROUP, 0) != 0) {
    return base::ErrnoError("SCHED_CORE: PR_SCHED_CORE_CREATE");
  }
  return base::Ok();
}

// How to make a daemon.
struct DaemonPlan {
  const Flags& flags;
  const StartOptions& start;
  std::string key;
  std::string program;
  Endpoint endpoint;
};

base::Result<base::Subprocess> SpawnDaemon(const DaemonPlan& plan, base::BorrowedFd listener) {
  const Flags& flags = plan.flags;
  base::SubprocessOptions options;
  options.program = plan.program;
  // The same name whatever the program: tools and administrators look for it.
  options.argv = {kProgramName,
                  "-namespace",
                  flags.ns,
                  "-id",
                  flags.id,
                  "-address",
                  flags.address,
                  "-publish-binary",
                  flags.publish_binary,
                  "-key",
                  plan.key,
                  "-socket",
                  plan.endpoint.socket};
  if (!plan.start.config_path.empty()) {
    options.argv.insert(options.argv.end(), {"-config", plan.start.config_path});
  }
  if (flags.debug) options.argv.emplace_back("-debug");
  options.argv.emplace_back("daemon");
  for (char** variable = environ; *variable != nullptr; ++variable) {
    options.env.emplace_back(*variable);
  }
  options.fds = {{listener, kListenerFd}};
  options.new_session = true;
  return base::Subprocess::Spawn(options);
}

base::Result<void> StartDaemon(const DaemonPlan& plan, base::BorrowedFd listener) {
  TRY(MakeSchedulingGroup());
  const base::Subprocess daemon = TRY(SpawnDaemon(plan, listener), "daemon {}", plan.program);
  base::Result<void> placed = AdjustOomScore(daemon.pid());
  if (placed && !plan.start.shim_cgroup.empty()) {
    placed = EnterShimCgroup(plan.start.shim_cgroup, daemon.pid());
  }
  if (placed) placed = base::WriteFileAtomic("address", ToText(plan.endpoint));
  if (!placed) {
    // No half-started daemon stays behind an error.
    TRY(daemon.Signal(SIGKILL));
  }
  return placed;
}

// A bundle without config.json is a sandbox's (Sandbox API). Its containers reach the daemon
// without a `start` of theirs if the answer is of version 3, which containerd 2.0 and later take;
// with a plain address they would be told from others by an annotation that only CRI writes.
std::string Answer(const Flags& flags, const StartOptions& start, const Endpoint& endpoint) {
  if (endpoint.transport == config::Transport::kTtrpc && access("config.json", F_OK) != 0) {
    const base::Result<std::string> version = ContainerdVersion(flags, start);
    if (version && TakesVersion3(*version)) return ToVersion3Text(endpoint);
  }
  return ToText(endpoint);
}

}  // namespace

base::Result<std::string> Start(const Flags& flags) {
  TRY(CheckIdentifier("namespace", flags.ns));
  TRY(CheckIdentifier("id", flags.id));
  const StartOptions start = TRY(ReadStartOptions(flags));
  const std::string key = TRY(GroupingKeyHere(flags.id));
  TRY(CheckIdentifier("pod id", key));
  const std::string directory = start.socket_dir.empty() ? kSocketDirectory : start.socket_dir;
  const auto endpoint = [&](config::Transport transport) -> Endpoint {
    return {transport, SocketPath(flags.address, flags.ns, SocketKey(transport, key), directory)};
  };
  TRY(base::MakeDirectories(directory, 0700));
  const base::UniqueFd lock = TRY(LockPod(flags, key));
  // A pod keeps its transport, whatever the configuration says since.
  for (const auto transport : {config::Transport::kTtrpc, config::Transport::kGrpc}) {
    if (!Served(endpoint(transport).socket)) continue;
    TRY(base::WriteFileAtomic("address", ToText(endpoint(transport))));
    return Answer(flags, start, endpoint(transport));
  }
  const TransportChoice choice = ChooseTransport(flags, start);
  if (!choice.refusal.empty()) {
    OpenBundleLog(flags.debug);
    LOG_WARNING("pod {}: ttrpc, although [shim] transport = \"grpc\": {}", key, choice.refusal);
  }
  const DaemonPlan plan{flags, start, key, choice.program, endpoint(choice.transport)};
  const base::UniqueFd listener =
      TRY(base::ListenUnix(plan.endpoint.socket, SOCK_STREAM | SOCK_NONBLOCK));
  base::Result<void> started = StartDaemon(plan, listener);
  if (!started) {
    unlink(plan.endpoint.socket.c_str());
    return base::Error(std::move(started.error()));
  }
  return Answer(flags, start, plan.endpoint);
}

}  // namespace shim
