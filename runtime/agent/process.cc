#include "runtime/agent/process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "runtime/agent/process_identity.h"
#include "runtime/agent/terminal.h"
#include "runtime/base/file.h"
#include "runtime/base/socket.h"
#include "runtime/base/subprocess.h"

namespace agent {
namespace {

constexpr size_t Index(StreamKind kind) { return static_cast<size_t>(kind); }

// The pid namespace that the next child is born into, for as long as this lives. setns(2) of a pid
// namespace moves children only, so that no second fork is needed and the agent stays the parent.
class ChildrensPidNamespace {
 public:
  static base::Result<ChildrensPidNamespace> Enter(base::BorrowedFd process_or_namespace) {
    base::UniqueFd own = TRY(base::Open("/proc/self/ns/pid", O_RDONLY));
    if (setns(process_or_namespace.get(), CLONE_NEWPID) != 0) {
      return base::ErrnoError("enter the container's pid namespace");
    }
    return ChildrensPidNamespace(std::move(own));
  }
  ChildrensPidNamespace(ChildrensPidNamespace&&) = default;
  ChildrensPidNamespace& operator=(ChildrensPidNamespace&&) = delete;
  ~ChildrensPidNamespace() {
    // Every later child would be born into the wrong namespace.
    if (own_) CHECK(setns(own_.get(), CLONE_NEWPID) == 0);
  }

 private:
  explicit ChildrensPidNamespace(base::UniqueFd own) : own_(std::move(own)) {}
  base::UniqueFd own_;
};

}  // namespace

// What the child takes of the pipes; closed in the agent once it is cloned.
struct Process::OwnedEnds {
  base::UniqueFd fd[3];
};

Process::Process(const Environment& environment, Options options, Events events)
    : environment_(environment), options_(std::move(options)), events_(std::move(events)) {}

Process::~Process() {
  if (alive()) environment_.reaper.Forget(pid_);
}

base::Result<void> Process::OpenStreams(OwnedEnds& ends) {
  const bool wanted[3] = {options_.open_stdin, options_.open_stdout,
                          options_.open_stderr && !options_.terminal};
  for (const StreamKind kind : {StreamKind::kStdin, StreamKind::kStdout, StreamKind::kStderr}) {
    const size_t i = Index(kind);
    if (!wanted[i]) continue;
    host_ends_[i] = TRY(environment_.dial_stream(options_.id, kind), "stream {}", i);
    if (options_.terminal) continue;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return base::ErrnoError("pipe for stream {}", i);
    const bool input = kind == StreamKind::kStdin;
    ends.fd[i].Reset(fds[input ? 0 : 1]);
    pipe_ends_[i].Reset(fds[input ? 1 : 0]);
    if (fchown(fds[0], options_.stdio_owner, static_cast<gid_t>(-1)) != 0) {
      return base::ErrnoError("owner {} for stream {}", options_.stdio_owner, i);
    }
  }
  return base::Ok();
}

base::Result<pid_t> Process::Clone(const CloneInto& into, const Body& body, const ChildEnds& ends) {
  std::optional<ChildrensPidNamespace> pid_namespace;
  if (into.pid_namespace_of.valid()) {
    pid_namespace.emplace(TRY(ChildrensPidNamespace::Enter(into.pid_namespace_of)));
  }
  int pidfd = -1;
  clone_args args{};
  args.flags = into.flags | CLONE_PIDFD | CLONE_INTO_CGROUP;
  args.pidfd = reinterpret_cast<__u64>(&pidfd);
  args.exit_signal = SIGCHLD;
  args.cgroup = static_cast<__u64>(into.cgroup.get());
  long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0 && errno == EBUSY && into.cgroup_when_busy) {
    const base::UniqueFd other = TRY(into.cgroup_when_busy(), "clone the container's process");
    args.cgroup = static_cast<__u64>(other.get());
    pid = syscall(SYS_clone3, &args, sizeof args);
  }
  if (pid < 0) return base::ErrnoError("clone the container's process");
  if (pid == 0) {
    body(ends);
    _exit(127);
  }
  pidfd_.Reset(pidfd);
  return static_cast<pid_t>(pid);
}

base::Result<void> Process::Launch(const CloneInto& into, const Body& body) {
  OwnedEnds ends;
  TRY(OpenStreams(ends));
  auto [ours, theirs] = TRY(base::SocketPair(SOCK_SEQPACKET | SOCK_NONBLOCK));
  // The child waits on its end by blocking; O_NONBLOCK belongs to each end on its own.
  if (fcntl(theirs.get(), F_SETFL, 0) != 0) return base::ErrnoError("channel");
  pid_ = TRY(Clone(into, body, {theirs, {ends.fd[0], ends.fd[1], ends.fd[2]}}));
  environment_.reaper.Expect(pid_, [this](int status) { OnExit(status); });
  channel_ = std::move(ours);
  const auto begin = [&]() -> base::Result<void> {
    if ((into.flags & CLONE_NEWUSER) != 0) TRY(base::WriteIdMap(pid_, into.id_map));
    TRY(SetResourceLimits(pid_, options_.limits));
    channel_watch_ =
        TRY(environment_.loop.WatchFd(channel_, EPOLLIN, [this](uint32_t) { OnChannel(); }));
    return SendOrder(channel_, InitOrder::kSetUp);
  };
  // There is a child to be waited for: the error is told when it has gone.
  base::Result<void> begun = begin();
  if (!begun) FailCreation(std::move(begun.error()));
  return base::Ok();
}

void Process::OnChannel() {
  while (channel_) {
    base::Result<std::optional<InitReport>> report = ReceiveReport(channel_);
    if (!report) {
      if (report.error().error_number() == EAGAIN) return;
      // Nothing but its death is to be expected from now on; ECONNRESET is that, before it had read
      // what it was told.
      const bool dead = report.error().error_number() == ECONNRESET;
      if (state_ == State::kCreating && !dead) FailCreation(std::move(report.error()));
      return OnChannelEnd();
    }
    if (!*report) return OnChannelEnd();
    OnReport(std::move(**report));
  }
}

void Process::OnReport(InitReport report) {
  if (report.error) {
    if (state_ == State::kCreating) return FailCreation(std::move(*report.error));
    if (const DoneCallback done = std::exchange(on_started_, nullptr)) {
      done(std::move(*report.error));
    }
    return;
  }
  if (!report.ready || state_ != State::kCreating || creation_error_) return;
  base::Result<void> relays = StartRelays(std::move(report.terminal));
  if (!relays) return FailCreation(std::move(relays.error()));
  state_ = State::kCreated;
  if (const DoneCallback done = std::exchange(events_.on_ready, nullptr)) done(base::Ok());
}

// The child's end is close-on-exec: this is a successful execve, or its death, which OnExit tells.
void Process::OnChannelEnd() {
  channel_watch_.Cancel();
  channel_.Reset();
  if (const DoneCallback done = std::exchange(on_started_, nullptr)) done(base::Ok());
}

base::Result<void> Process::StartRelays(base::UniqueFd terminal) {
  base::UniqueFd* const pipe = pipe_ends_;
  const bool is_terminal = terminal.valid();
  if (is_terminal) {
    // stdin, stdout and Resize share the master; each owns a descriptor of its own.
    pipe[0].Reset(fcntl(terminal.get(), F_DUPFD_CLOEXEC, 0));
    terminal_.Reset(fcntl(terminal.get(), F_DUPFD_CLOEXEC, 0));
    if (!pipe[0] || !terminal_) return base::ErrnoError("duplicate the terminal");
    pipe[1] = std::move(terminal);
  }
  if (host_ends_[0]) {
    stdin_relay_ = TRY(InputRelay::Create(environment_.loop, std::move(host_ends_[0]),
                                          std::move(pipe[0]), !is_terminal));
  }
  if (host_ends_[1]) {
    stdout_relay_ = TRY(
        OutputRelay::Create(environment_.loop, std::move(pipe[1]), std::move(host_ends_[1]), {}));
  }
  if (host_ends_[2]) {
    stderr_relay_ = TRY(
        OutputRelay::Create(environment_.loop, std::move(pipe[2]), std::move(host_ends_[2]), {}));
  }
  return base::Ok();
}

void Process::FailCreation(base::Error error) {
  if (!creation_error_) creation_error_ = std::move(error);
  Kill();
}

void Process::Kill() {
  // ESRCH: it is a zombie already, and OnExit comes.
  if (pidfd_) syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

void Process::OnExit(int wait_status) {
  // Its last words may still be unread.
  OnChannel();
  exit_status_ = static_cast<uint32_t>(base::ExitCode(wait_status)) & 0xff;
  const bool creating = state_ == State::kCreating;
  state_ = State::kStopped;
  pidfd_.Reset();
  terminal_.Reset();
  if (!creating) return events_.on_exit();
  if (!creation_error_) {
    creation_error_ =
        base::MakeError(base::Code::kInternal,
                        "the process ended with status {} before it was ready", *exit_status_);
  }
  std::exchange(events_.on_ready, nullptr)(std::move(*creation_error_));
}

void Process::Start(DoneCallback done) {
  if (state_ != State::kCreated) {
    return done(base::MakeError(base::Code::kFailedPrecondition, "it cannot be started: it {}",
                                state_ == State::kStopped ? "has ended" : "was started before"));
  }
  state_ = State::kRunning;
  base::Result<void> sent = SendOrder(channel_, InitOrder::kExecute);
  if (!sent) return done(std::move(sent.error()));
  on_started_ = std::move(done);
}

void Process::Wait(std::function<void(uint32_t)> done) {
  if (exit_told_) return done(*exit_status_);
  waiters_.push_back(std::move(done));
}

void Process::TellExit() {
  if (!exit_status_) return;
  exit_told_ = true;
  for (const auto& done : std::exchange(waiters_, {})) done(*exit_status_);
}

base::Result<void> Process::Signal(int signal_number) {
  if (signal_number < 1 || signal_number > SIGRTMAX) {
    return base::MakeError(base::Code::kInvalidArgument, "signal {}: 1 to {} is wanted",
                           signal_number, SIGRTMAX);
  }
  if (exit_status_ ||
      syscall(SYS_pidfd_send_signal, pidfd_.get(), signal_number, nullptr, 0) != 0) {
    if (!exit_status_ && errno != ESRCH) return base::ErrnoError("signal {}", signal_number);
    return base::MakeError(base::Code::kNotFound, "process already finished");
  }
  return base::Ok();
}

base::Result<void> Process::Resize(uint32_t columns, uint32_t rows) {
  if (!terminal_) return base::Ok();
  return ResizeTerminal(terminal_, columns, rows);
}

}  // namespace agent
