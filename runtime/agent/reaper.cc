#include "runtime/agent/reaper.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <utility>

namespace agent {

base::Result<std::unique_ptr<Reaper>> Reaper::Create(base::EventLoop& loop) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return base::ErrnoError("block SIGCHLD");
  base::UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return base::ErrnoError("signalfd");
  std::unique_ptr<Reaper> reaper(new Reaper(std::move(fd)));
  reaper->watch_ = TRY(loop.WatchFd(reaper->signal_fd_, EPOLLIN,
                                    [raw = reaper.get()](uint32_t) { raw->Collect(); }));
  return reaper;
}

void Reaper::Expect(pid_t pid, OnExit on_exit) { expected_[pid] = std::move(on_exit); }

void Reaper::Collect() {
  // Signals of one kind merge: the count read means nothing, so wait until no child is left.
  signalfd_siginfo info;
  while (read(signal_fd_.get(), &info, sizeof info) > 0) {
  }
  while (true) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG | __WALL);
    if (pid <= 0) return;
    const auto found = expected_.find(pid);
    if (found == expected_.end()) continue;  // an orphan
    const OnExit on_exit = std::move(found->second);
    expected_.erase(found);
    on_exit(status);
  }
}

}  // namespace agent
