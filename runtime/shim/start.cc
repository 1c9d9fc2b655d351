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
#include "runtime/base/socket.h"
#include "runtime/base/subprocess.h"
#include "runtime/shim/address.h"
#include "runtime/shim/bootstrap.h"
#include "runtime/shim/daemon.h"
#include "runtime/shim/shim_cgroup.h"
#include "runtime/shim/start_lock.h"
#include "runtime/shim/start_options.h"

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

// The listener, or none if a daemon answers on `path` already.
base::Result<base::UniqueFd> ListenUnlessServed(const std::string& path) {
  base::Result<base::UniqueFd> connected = base::ConnectUnix(path, SOCK_STREAM | SOCK_NONBLOCK);
  // EAGAIN: its backlog is full, so it is there.
  if (connected || connected.error().error_number() == EAGAIN) return base::UniqueFd();
  if (connected.error().error_number() == ECONNREFUSED) unlink(path.c_str());
  return base::ListenUnix(path, SOCK_STREAM | SOCK_NONBLOCK);
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

base::Result<base::Subprocess> SpawnDaemon(const Flags& flags, const std::string& key,
                                           const std::string& socket,
                                           const base::UniqueFd& listener) {
  base::SubprocessOptions options;
  // Ours even if the file was replaced since.
  options.program = "/proc/self/exe";
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
                  key,
                  "-socket",
                  socket};
  if (flags.debug) options.argv.emplace_back("-debug");
  options.argv.emplace_back("daemon");
  for (char** variable = environ; *variable != nullptr; ++variable) {
    options.env.emplace_back(*variable);
  }
  options.fds = {{listener, kListenerFd}};
  options.new_session = true;
  return base::Subprocess::Spawn(options);
}

base::Result<void> StartDaemon(const Flags& flags, const StartOptions& start,
                               const std::string& key, const std::string& socket,
                               const base::UniqueFd& listener) {
  TRY(MakeSchedulingGroup());
  const base::Subprocess daemon = TRY(SpawnDaemon(flags, key, socket, listener));
  base::Result<void> placed = AdjustOomScore(daemon.pid());
  if (placed && !start.shim_cgroup.empty()) {
    placed = EnterShimCgroup(start.shim_cgroup, daemon.pid());
  }
  if (placed) placed = base::WriteFileAtomic("address", "unix://" + socket);
  if (!placed) {
    // No half-started daemon stays behind an error.
    TRY(daemon.Signal(SIGKILL));
  }
  return placed;
}

}  // namespace

base::Result<std::string> Start(const Flags& flags) {
  TRY(CheckIdentifier("namespace", flags.ns));
  TRY(CheckIdentifier("id", flags.id));
  const StartOptions start = TRY(ReadStartOptions(flags));
  const std::string key = TRY(GroupingKeyHere(flags.id));
  TRY(CheckIdentifier("pod id", key));
  const std::string directory = start.socket_dir.empty() ? kSocketDirectory : start.socket_dir;
  const std::string socket = SocketPath(flags.address, flags.ns, key, directory);
  TRY(base::MakeDirectories(directory, 0700));
  const base::UniqueFd lock = TRY(LockPod(socket));
  const base::UniqueFd listener = TRY(ListenUnlessServed(socket));
  if (!listener) {
    TRY(base::WriteFileAtomic("address", "unix://" + socket));
    return "unix://" + socket;
  }
  base::Result<void> started = StartDaemon(flags, start, key, socket, listener);
  if (!started) {
    unlink(socket.c_str());
    return base::Error(std::move(started.error()));
  }
  return "unix://" + socket;
}

}  // namespace shim
