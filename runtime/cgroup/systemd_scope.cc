#include "runtime/cgroup/systemd_scope.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <utility>

#include "runtime/base/log.h"
#include "runtime/base/run_program.h"
#include "runtime/base/socket.h"
#include "runtime/cgroup/files.h"

namespace cgroup {
namespace {

constexpr std::chrono::minutes kLimit{1};
constexpr size_t kMaxSaid = 4096;
constexpr const char* kPath = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
// ACK: nothing that systemd-run says has it.
constexpr char kEcho = '\x06';

// What came from the other end up to kEcho, which says that cat runs, or to the end.
base::Result<std::string> Hear(base::BorrowedFd socket) {
  const auto end = std::chrono::steady_clock::now() + kLimit;
  std::string said;
  while (said.size() < kMaxSaid) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd wait{socket.get(), POLLIN, 0};
    const int ready = left.count() > 0 ? poll(&wait, 1, static_cast<int>(left.count())) : 0;
    if (ready == 0) {
      return base::MakeError(base::Code::kDeadlineExceeded, "no answer after {} s",
                             std::chrono::seconds(kLimit).count());
    }
    char bytes[512];
    const ssize_t got = ready < 0 ? -1 : read(socket.get(), bytes, sizeof(bytes));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != ECONNRESET) return base::ErrnoError("read");
    if (got <= 0) break;
    said.append(bytes, static_cast<size_t>(got));
    if (said.back() == kEcho) break;
  }
  return said;
}

}  // namespace

bool HostRunsSystemd() { return Exists("/run/systemd/system"); }

base::Result<SystemdScope> SystemdScope::Start(const ScopeUnit& unit, const std::string& program) {
  auto [ours, theirs] = TRY(base::SocketPair(SOCK_STREAM));
  // systemd-run itself becomes the scope's first process, and then cat, which says back what it is
  // told: what comes back was said in the scope.
  SystemdScope scope(
      TRY(base::Subprocess::Spawn(
          {.program = program,
           .argv = {"systemd-run", "--scope", "--quiet", "--collect", "--slice=" + unit.slice,
                    "--unit=" + unit.name, "--property=Delegate=yes",
                    "--property=DefaultDependencies=no", "--", "cat"},
           .env = {kPath},
           .fds = {{theirs, STDIN_FILENO}, {theirs, STDOUT_FILENO}, {theirs, STDERR_FILENO}}})),
      std::move(ours));
  theirs.Reset();
  // Fails only where it has ended already: what it said is there to be read.
  (void)send(scope.socket_.get(), &kEcho, 1, MSG_NOSIGNAL);
  std::string said = TRY(Hear(scope.socket_), "systemd scope {}", unit.name);
  if (said.ends_with(kEcho)) return scope;
  return base::MakeError(base::Code::kFailedPrecondition, "systemd scope {} in {}: {}", unit.name,
                         unit.slice, base::Escaped(said, 512));
}

SystemdScope::~SystemdScope() {
  if (!placeholder_.valid()) return;
  // Cannot fail for a child that nobody has reaped.
  (void)placeholder_.Signal(SIGKILL);
  (void)placeholder_.Wait();
}

base::Result<void> SetScopeWeight(const ScopeUnit& unit, uint64_t weight) {
  return base::RunProgram({.program = "/usr/bin/systemctl",
                           .argv = {"systemctl", "set-property", "--runtime", unit.name,
                                    "CPUWeight=" + std::to_string(weight)},
                           .env = {kPath}},
                          "", kLimit);
}

base::Result<void> StopScope(const ScopeUnit& unit, const std::string& program) {
  base::Result<void> stopped = base::RunProgram(
      {.program = program, .argv = {"systemctl", "stop", "--quiet", unit.name}, .env = {kPath}}, "",
      kLimit);
  // systemctl(1) "EXIT STATUS" has 5 for it, and the same 5 for others of the bus's errors.
  if (!stopped && stopped.error().Message().find(" not loaded") != std::string::npos) {
    return base::Ok();
  }
  return stopped;
}

}  // namespace cgroup
