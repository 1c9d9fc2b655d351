#include "runtime/base/subprocess.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/base/fd_limit.h"

namespace base {
namespace {

enum class Stage : int { kNetwork, kStdio, kFds, kLimit, kCwd, kSession, kExec };

const char* Name(Stage stage) {
  switch (stage) {
    case Stage::kNetwork:
      return "join the network namespace";
    case Stage::kStdio:
      return "open /dev/null";
    case Stage::kFds:
      return "place descriptors";
    case Stage::kLimit:
      return "set the limit of descriptors";
    case Stage::kCwd:
      return "chdir";
    case Stage::kSession:
      return "setsid";
    case Stage::kExec:
      return "exec";
  }
  return "?";
}

struct Failure {
  Stage stage;
  int error;
};

// What the child needs, made before the fork: it must not allocate.
struct ChildPlan {
  const char* program;
  char* const* argv;
  char* const* env;
  const char* cwd;
  const SubprocessOptions::FdMapping* fds;
  size_t fd_count;
  bool new_session;
  int network_namespace;
  const rlimit* fd_limit;
  int error_pipe;
};

[[noreturn]] void Fail(int error_pipe, Stage stage) {
  const Failure failure{stage, errno};
  [[maybe_unused]] const ssize_t ignored = write(error_pipe, &failure, sizeof failure);
  _exit(127);
}

// Moves each source out of the way of every target first, so that no dup2 overwrites a later
// source.
void PlaceFds(const ChildPlan& plan, int* error_pipe) {
  int highest = 2;
  for (size_t i = 0; i < plan.fd_count; ++i) highest = std::max(highest, plan.fds[i].target);
  const int above = highest + 1;
  *error_pipe = fcntl(*error_pipe, F_DUPFD_CLOEXEC, above);
  if (*error_pipe < 0) _exit(127);
  int moved[64];
  for (size_t i = 0; i < plan.fd_count; ++i) {
    moved[i] = fcntl(plan.fds[i].fd.get(), F_DUPFD_CLOEXEC, above);
    if (moved[i] < 0) Fail(*error_pipe, Stage::kFds);
  }
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) Fail(*error_pipe, Stage::kStdio);
  for (int fd = 0; fd <= 2; ++fd) {
    if (fd == null ? fcntl(fd, F_SETFD, 0) < 0 : dup2(null, fd) < 0) {
      Fail(*error_pipe, Stage::kStdio);
    }
  }
  for (size_t i = 0; i < plan.fd_count; ++i) {
    if (dup2(moved[i], plan.fds[i].target) < 0) Fail(*error_pipe, Stage::kFds);
  }
  // All but the targets go at exec; a gap below `highest` may hold a parent's fd, so mark from 3.
  syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
  for (size_t i = 0; i < plan.fd_count; ++i) {
    if (fcntl(plan.fds[i].target, F_SETFD, 0) < 0) Fail(*error_pipe, Stage::kFds);
  }
}

[[noreturn]] void RunChild(const ChildPlan& plan) {
  int error_pipe = plan.error_pipe;
  // Before its number may become another's.
  if (plan.network_namespace >= 0 && setns(plan.network_namespace, CLONE_NEWNET) != 0) {
    Fail(error_pipe, Stage::kNetwork);
  }
  PlaceFds(plan, &error_pipe);
  if (plan.fd_limit != nullptr && setrlimit(RLIMIT_NOFILE, plan.fd_limit) != 0) {
    Fail(error_pipe, Stage::kLimit);
  }
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (plan.new_session && setsid() < 0) Fail(error_pipe, Stage::kSession);
  if (plan.cwd != nullptr && chdir(plan.cwd) != 0) Fail(error_pipe, Stage::kCwd);
  execve(plan.program, plan.argv, plan.env);
  Fail(error_pipe, Stage::kExec);
}

std::vector<char*> CStrings(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const std::string& text : strings) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace

Result<Subprocess> Subprocess::Spawn(const SubprocessOptions& options) {
  CHECK(options.fds.size() <= 64);
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return ErrnoError("pipe2");
  const UniqueFd read_end(pipe_fds[0]);
  UniqueFd write_end(pipe_fds[1]);
  const std::vector<char*> argv = CStrings(options.argv);
  const std::vector<char*> env = CStrings(options.env);
  const ChildPlan plan{options.program.c_str(),
                       argv.data(),
                       env.data(),
                       options.cwd.empty() ? nullptr : options.cwd.c_str(),
                       options.fds.data(),
                       options.fds.size(),
                       options.new_session,
                       options.network_namespace.get(),
                       FdLimitOfChildren(),
                       write_end.get()};
  int pidfd = -1;
  clone_args args{};
  args.flags = options.clone_flags | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<__u64>(&pidfd);
  args.exit_signal = SIGCHLD;
  // All signals wait while the child still has our handlers.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) RunChild(plan);
  const int clone_error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) {
    errno = clone_error;
    return ErrnoError("clone3 for {}", options.program);
  }
  write_end.Reset();
  Subprocess child(static_cast<pid_t>(pid), UniqueFd(pidfd));
  Failure failure{};
  if (TEMP_FAILURE_RETRY(read(read_end.get(), &failure, sizeof failure)) ==
      static_cast<ssize_t>(sizeof failure)) {
    TRY(child.Wait());
    errno = failure.error;
    return ErrnoError("start {}: {}", options.program, Name(failure.stage));
  }
  return child;
}

Result<void> Subprocess::Signal(int signal_number) const {
  if (syscall(SYS_pidfd_send_signal, pidfd_.get(), signal_number, nullptr, 0) != 0 &&
      errno != ESRCH) {
    return ErrnoError("signal {} to pid {}", signal_number, pid_);
  }
  return Ok();
}

Result<std::optional<int>> Subprocess::TryWait() {
  int status = 0;
  const long ended = TEMP_FAILURE_RETRY(waitpid(pid_, &status, WNOHANG | __WALL));
  if (ended < 0) return ErrnoError("wait for pid {}", pid_);
  if (ended == 0) return std::optional<int>();
  return std::optional<int>(status);
}

Result<int> Subprocess::Wait() {
  int status = 0;
  if (TEMP_FAILURE_RETRY(waitpid(pid_, &status, __WALL)) < 0) {
    return ErrnoError("wait for pid {}", pid_);
  }
  return status;
}

int ExitCode(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace base
