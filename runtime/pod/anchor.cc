#include "runtime/pod/anchor.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "runtime/base/file.h"
#include "runtime/base/socket.h"
#include "runtime/storage/bind.h"

namespace anchor {
namespace {

constexpr int kSocketFd = 3;
constexpr int kRootFd = 4;
constexpr int kNamespaceFd = 5;  // that of the root directory; not open: it lies in none yet

// In a mount namespace of our own: the clone at kRootFd takes the place of all that the host has
// mounted. As slaves, mounts that the host undoes meanwhile are not kept here, and nothing of what
// is done here is seen there.
bool ExchangeMounts() {
  return mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0 &&
         move_mount(kRootFd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) == 0 &&
         fchdir(kRootFd) == 0 &&
         // pivot_root(2), NOTES: the old root comes to lie upon the new one.
         syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0;
}

// 0, or what went wrong. Paths are not looked up: the descriptors are all that comes from outside.
int EnterRoot() {
  if (fcntl(kNamespaceFd, F_GETFD) >= 0) {
    if (setns(kNamespaceFd, CLONE_NEWNS) != 0) return errno;
  } else {
    const base::UniqueFd hosts(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
    if (!hosts || unshare(CLONE_NEWNS) != 0) return errno;
    // Where the root cannot be exchanged (pivot_root(2), EINVAL: an initramfs, a chroot) a chroot
    // has to do: a copy of the host's mounts must not be kept.
    if (!ExchangeMounts() && setns(hosts.get(), CLONE_NEWNS) != 0) return errno;
  }
  return fchdir(kRootFd) == 0 && chroot(".") == 0 ? 0 : errno;
}

}  // namespace

int Main() {
  prctl(PR_SET_NAME, "pinion-anchor");
  const int error = EnterRoot();
  if (write(kSocketFd, &error, sizeof error) != static_cast<ssize_t>(sizeof error) || error != 0) {
    return 1;
  }
  char byte;
  while (true) {
    const ssize_t size = read(kSocketFd, &byte, 1);
    if (size < 0 && errno == EINTR) continue;
    return 0;
  }
}

}  // namespace anchor

namespace pod {
namespace {

// Enough for a host that is busy beyond reason.
constexpr int kStartTimeoutMs = 30000;

base::Result<void> AwaitRoot(base::BorrowedFd socket) {
  pollfd answer{socket.get(), POLLIN, 0};
  if (TEMP_FAILURE_RETRY(poll(&answer, 1, kStartTimeoutMs)) != 1) {
    return base::MakeError(base::Code::kDeadlineExceeded, "no answer within {} ms",
                           kStartTimeoutMs);
  }
  int error = 0;
  if (TEMP_FAILURE_RETRY(read(socket.get(), &error, sizeof error)) !=
      static_cast<ssize_t>(sizeof error)) {
    return base::MakeError(base::Code::kAborted, "it ended at once");
  }
  if (error == 0) return base::Ok();
  errno = error;
  return base::ErrnoError("enter the container's root directory");
}

}  // namespace

base::Result<Anchor::Root> Anchor::RootAt(const std::string& rootfs) {
  Root root;
  root.directory = TRY(storage::CloneTree(rootfs, {.recursive = true}), "anchor");
  return root;
}

base::Result<Anchor::Root> Anchor::RootOf(pid_t anchor) {
  Root root;
  root.directory = TRY(base::Open(fmt::format("/proc/{}/root", anchor), O_PATH | O_DIRECTORY));
  root.mount_namespace = TRY(base::Open(fmt::format("/proc/{}/ns/mnt", anchor), O_RDONLY));
  return root;
}

base::Result<std::unique_ptr<Anchor>> Anchor::Start(base::EventLoop& loop,
                                                    base::BorrowedFd network_namespace,
                                                    const Root& root,
                                                    std::function<void()> on_killed) {
  std::unique_ptr<Anchor> anchor(new Anchor);
  auto [ours, theirs] = TRY(base::SocketPair(SOCK_STREAM));
  anchor->socket_ = std::move(ours);
  base::SubprocessOptions spawn;
  spawn.program = "/proc/self/exe";
  spawn.argv = {"containerd-shim-pinion-v2", anchor::kVerb};
  spawn.fds = {{theirs, anchor::kSocketFd}, {root.directory, anchor::kRootFd}};
  if (root.mount_namespace) {
    spawn.fds.push_back({root.mount_namespace, anchor::kNamespaceFd});
  }
  spawn.cwd = "/";
  spawn.new_session = true;
  spawn.network_namespace = network_namespace;
  anchor->process_ = TRY(base::Subprocess::Spawn(spawn), "anchor");
  anchor->pid_ = anchor->process_.pid();
  theirs.Reset();  // so that its end is seen
  TRY(AwaitRoot(anchor->socket_), "anchor");
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
