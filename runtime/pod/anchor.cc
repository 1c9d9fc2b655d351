#include "runtime/pod/anchor.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "runtime/base/socket.h"

namespace anchor {
namespace {

constexpr int kSocketFd = 3;

}  // namespace

int Main() {
  prctl(PR_SET_NAME, "pinion-anchor");
  char byte;
  while (true) {
    const ssize_t size = read(kSocketFd, &byte, 1);
    if (size < 0 && errno == EINTR) continue;
    return 0;
  }
}

}  // namespace anchor

namespace pod {

base::Result<std::unique_ptr<Anchor>> Anchor::Start(base::EventLoop& loop,
                                                    base::BorrowedFd network_namespace,
                                                    std::function<void()> on_killed) {
  std::unique_ptr<Anchor> anchor(new Anchor);
  auto [ours, theirs] = TRY(base::SocketPair(SOCK_STREAM));
  anchor->socket_ = std::move(ours);
  base::SubprocessOptions spawn;
  spawn.program = "/proc/self/exe";
  spawn.argv = {"containerd-shim-pinion-v2", anchor::kVerb};
  spawn.fds = {{theirs, anchor::kSocketFd}};
  spawn.cwd = "/";
  spawn.new_session = true;
  spawn.network_namespace = network_namespace;
  anchor->process_ = TRY(base::Subprocess::Spawn(spawn), "anchor");
  anchor->pid_ = anchor->process_.pid();
  anchor->pidfd_watch_ =
      TRY(loop.WatchFd(anchor->process_.pidfd(), EPOLLIN,
                       [raw = anchor.get(), on_killed = std::move(on_killed)](uint32_t) {
                         const auto report = on_killed;  // End destroys the callback that runs
                         raw->End();
                         report();
                       }));
  return anchor;
}

void Anchor::End() {
  pidfd_watch_.Cancel();
  if (!process_.valid()) return;
  static_cast<void>(process_.Signal(SIGKILL));
  static_cast<void>(process_.Wait());
  process_ = {};
  socket_.Reset();
}

}  // namespace pod
