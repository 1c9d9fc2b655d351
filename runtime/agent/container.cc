#include "runtime/agent/container.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "runtime/agent/container_init.h"
#include "runtime/agent/namespaces.h"
#include "runtime/agent/seccomp_profile.h"
#include "runtime/base/socket.h"
#include "runtime/base/subprocess.h"

namespace agent {
namespace {

// 10 s in all, for processes that are slow to die.
constexpr std::chrono::milliseconds kRemovalInterval{10};
constexpr int kRemovalAttempts = 1000;

constexpr size_t Index(StreamKind kind) { return static_cast<size_t>(kind); }

base::Result<void> CheckSpec(const oci::Spec& spec) {
  if (!spec.root) return base::MakeError(base::Code::kInvalidArgument, "root: it is missing");
  if (!spec.process || spec.process->args.empty()) {
    return base::MakeError(base::Code::kInvalidArgument, "process.args: it is missing");
  }
  if (!spec.linux_config.uid_mappings.empty() || !spec.linux_config.gid_mappings.empty()) {
    return base::MakeError(base::Code::kUnimplemented, "linux.uidMappings: user namespaces");
  }
  return base::Ok();
}

}  // namespace

// What the child takes of the pipes; closed in the agent once it is cloned.
struct Container::ChildEnds {
  base::UniqueFd fd[3];
};

Container::Container(const Environment& environment, ContainerOptions options, std::string rootfs,
                     Cgroup cgroup)
    : environment_(environment),
      options_(std::move(options)),
      rootfs_(std::move(rootfs)),
      cgroup_(std::move(cgroup)) {}

Container::~Container() = default;

base::Result<std::unique_ptr<Container>> Container::Create(const Environment& environment,
                                                           ContainerOptions options,
                                                           const oci::Spec& spec,
                                                           DoneCallback on_created) {
  TRY(CheckSpec(spec));
  Cgroup cgroup = TRY(Cgroup::Create(environment.cgroup_parent, options.id));
  std::unique_ptr<Container> container(
      new Container(environment, std::move(options), spec.root->path, std::move(cgroup)));
  const auto launch = [&]() -> base::Result<void> {
    TRY(container->cgroup_.Apply(spec.linux_config.resources), "linux.resources");
    ChildEnds ends;
    TRY(container->OpenStreams(spec.process->terminal, ends));
    return container->Launch(spec, ends);
  };
  base::Result<void> launched = launch();
  if (!launched) {
    if (container->pid_ < 0) {
      static_cast<void>(container->cgroup_.Remove());
      return std::move(launched.error());
    }
    // There is a child to be waited for before the cgroup can go: the error is told then.
    container->on_created_ = std::move(on_created);
    container->FailCreation(std::move(launched.error()));
    return container;
  }
  container->on_created_ = std::move(on_created);
  return container;
}

base::Result<void> Container::OpenStreams(bool terminal, ChildEnds& ends) {
  const bool wanted[3] = {options_.open_stdin, options_.open_stdout,
                          options_.open_stderr && !terminal};
  for (const StreamKind kind : {StreamKind::kStdin, StreamKind::kStdout, StreamKind::kStderr}) {
    const size_t i = Index(kind);
    if (!wanted[i]) continue;
    host_ends_[i] = TRY(environment_.dial_stream(options_.id, kind), "stream {}", i);
    if (terminal) continue;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return base::ErrnoError("pipe for stream {}", i);
    const bool input = kind == StreamKind::kStdin;
    ends.fd[i].Reset(fds[input ? 0 : 1]);
    pipe_ends_[i].Reset(fds[input ? 1 : 0]);
  }
  return base::Ok();
}

base::Result<void> Container::Launch(const oci::Spec& spec, const ChildEnds& ends) {
  const NamespacePlan namespaces =
      TRY(PlanNamespaces(spec.linux_config.namespaces), "linux.namespaces");
  own_pid_namespace_ = namespaces.HasNew(CLONE_NEWPID);
  SeccompProgram seccomp;
  if (spec.linux_config.seccomp) seccomp = TRY(CompileSeccomp(*spec.linux_config.seccomp));
  auto [ours, theirs] = TRY(base::SocketPair(SOCK_SEQPACKET | SOCK_NONBLOCK));
  // The init waits on its end by blocking; O_NONBLOCK belongs to each end on its own.
  if (fcntl(theirs.get(), F_SETFL, 0) != 0) return base::ErrnoError("init channel");
  int pidfd = -1;
  clone_args args{};
  args.flags = namespaces.clone_flags | CLONE_PIDFD | CLONE_INTO_CGROUP;
  args.pidfd = reinterpret_cast<__u64>(&pidfd);
  args.exit_signal = SIGCHLD;
  args.cgroup = static_cast<__u64>(cgroup_.fd().get());
  const long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return base::ErrnoError("clone the container's init");
  if (pid == 0) {
    RunContainerInit({spec,
                      namespaces,
                      spec.linux_config.seccomp ? &seccomp : nullptr,
                      cgroup_.path(),
                      theirs,
                      {ends.fd[0], ends.fd[1], ends.fd[2]}});
  }
  pid_ = static_cast<pid_t>(pid);
  pidfd_.Reset(pidfd);
  environment_.reaper.Expect(pid_, [this](int status) { OnExit(status); });
  channel_ = std::move(ours);
  channel_watch_ =
      TRY(environment_.loop.WatchFd(channel_, EPOLLIN, [this](uint32_t) { OnChannel(); }));
  return SendOrder(channel_, InitOrder::kSetUp);
}

void Container::OnChannel() {
  while (channel_) {
    base::Result<std::optional<InitReport>> report = ReceiveReport(channel_);
    if (!report) {
      if (report.error().error_number() == EAGAIN) return;
      // Nothing but its death is to be expected from now on.
      if (state_ == State::kCreating) FailCreation(std::move(report.error()));
      return OnChannelEnd();
    }
    if (!*report) return OnChannelEnd();
    OnReport(std::move(**report));
  }
}

void Container::OnReport(InitReport report) {
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
  if (const DoneCallback done = std::exchange(on_created_, nullptr)) done(base::Ok());
}

// The init's end is close-on-exec: this is a successful execve, or the init's death, which OnExit
// tells.
void Container::OnChannelEnd() {
  channel_watch_.Cancel();
  channel_.Reset();
  if (const DoneCallback done = std::exchange(on_started_, nullptr)) done(base::Ok());
}

base::Result<void> Container::StartRelays(base::UniqueFd terminal) {
  base::UniqueFd* const pipe = pipe_ends_;
  const bool is_terminal = terminal.valid();
  if (is_terminal) {
    // stdin and stdout share the master; each relay owns a descriptor of its own.
    pipe[0].Reset(fcntl(terminal.get(), F_DUPFD_CLOEXEC, 0));
    if (!pipe[0]) return base::ErrnoError("duplicate the terminal");
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

void Container::FailCreation(base::Error error) {
  if (!creation_error_) creation_error_ = std::move(error);
  KillInit();
}

void Container::KillInit() {
  // ESRCH: it is a zombie already, and OnExit comes.
  if (pidfd_) syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

void Container::OnExit(int wait_status) {
  // Its last words may still be unread.
  OnChannel();
  exit_status_ = static_cast<uint32_t>(base::ExitCode(wait_status)) & 0xff;
  const bool creating = state_ == State::kCreating;
  state_ = State::kStopped;
  pidfd_.Reset();
  if (creating) {
    if (!creation_error_) {
      creation_error_ = base::MakeError(base::Code::kInternal,
                                        "the container's init ended with status {} before it was "
                                        "ready",
                                        *exit_status_);
    }
    return RemoveCgroup(kRemovalAttempts);
  }
  // With a pid namespace of its own the kernel has done this before it reported the exit. Without,
  // the container's life is still its init's.
  if (!own_pid_namespace_) static_cast<void>(cgroup_.Kill());
  for (const auto& done : std::exchange(waiters_, {})) done(*exit_status_);
  if (on_deleted_) RemoveCgroup(kRemovalAttempts);
}

void Container::Start(DoneCallback done) {
  if (state_ != State::kCreated) {
    return done(base::MakeError(base::Code::kFailedPrecondition,
                                "container {} cannot be started: it {}", options_.id,
                                state_ == State::kStopped ? "has ended" : "was started before"));
  }
  state_ = State::kRunning;
  base::Result<void> sent = SendOrder(channel_, InitOrder::kExecute);
  if (!sent) return done(std::move(sent.error()));
  on_started_ = std::move(done);
}

void Container::Wait(std::function<void(uint32_t)> done) {
  if (exit_status_) return done(*exit_status_);
  waiters_.push_back(std::move(done));
}

base::Result<void> Container::Signal(int signal_number, bool all) {
  if (signal_number < 1 || signal_number > SIGRTMAX) {
    return base::MakeError(base::Code::kInvalidArgument, "signal {}: 1 to {} is wanted",
                           signal_number, SIGRTMAX);
  }
  if (all) {
    const std::vector<pid_t> pids = TRY(Pids());
    if (!pids.empty()) {
      if (signal_number == SIGKILL) return cgroup_.Kill();
      for (const pid_t pid : pids) kill(pid, signal_number);
      return base::Ok();
    }
  }
  if (exit_status_ ||
      syscall(SYS_pidfd_send_signal, pidfd_.get(), signal_number, nullptr, 0) != 0) {
    if (!exit_status_ && errno != ESRCH) return base::ErrnoError("signal {}", signal_number);
    return base::MakeError(base::Code::kNotFound, "container {}: its process has ended",
                           options_.id);
  }
  return base::Ok();
}

base::Result<std::vector<pid_t>> Container::Pids() const { return cgroup_.Pids(); }

void Container::Delete(DoneCallback done) {
  if (state_ == State::kRunning || state_ == State::kCreating) {
    return done(base::MakeError(base::Code::kFailedPrecondition,
                                "container {} cannot be deleted: it still runs", options_.id));
  }
  if (on_deleted_) {
    return done(base::MakeError(base::Code::kFailedPrecondition,
                                "container {} is being deleted already", options_.id));
  }
  on_deleted_ = std::move(done);
  if (!exit_status_) return KillInit();  // OnExit goes on
  RemoveCgroup(kRemovalAttempts);
}

// A mount of the host's below the share is mounted here by itself when it is first entered
// (virtio-fs "announce_submounts"), and would keep the host's file system busy. EINVAL: none was.
void Container::LetGoOfRootfs() { umount2(rootfs_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW); }

void Container::RemoveCgroup(int attempts_left) {
  base::Result<void> removed = cgroup_.Kill();
  if (removed) removed = cgroup_.Remove();
  if (!removed && removed.error().code() == base::Code::kFailedPrecondition && attempts_left > 0) {
    // Those killed go when they are next scheduled; the kernel offers no better event than a poll
    // of cgroup.events, which still precedes the moment when rmdir succeeds.
    removal_timer_ = environment_.loop.After(
        kRemovalInterval, [this, attempts_left] { RemoveCgroup(attempts_left - 1); });
    return;
  }
  LetGoOfRootfs();
  if (const DoneCallback done = std::exchange(on_created_, nullptr)) {
    return done(std::move(*creation_error_));
  }
  if (const DoneCallback done = std::exchange(on_deleted_, nullptr)) done(std::move(removed));
}

}  // namespace agent
