// The anchor of a container: a process that does nothing but have a pid, by which containerd, CNI
// and nerdctl know the task (/proc/<pid>/ns, /proc/<pid>/root, kill(pid, 0)), and a place in the
// OCI cgroup.
//
// It is the shim's own program under the verb "anchor" and ends when the shim closes its socket, or
// dies. Its root directory is the container's, in a mount namespace that has nothing else: who
// works there (`nerdctl cp`, `nsenter -m`) must not find the host's files.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/subprocess.h"
#include "runtime/base/unique_fd.h"

namespace anchor {

inline constexpr const char* kVerb = "anchor";

// What the shim's main calls for `kVerb`. Returns the exit status.
int Main();

}  // namespace anchor

namespace pod {

// Thread rule: reactor-bound. Ownership: destroying it ends and reaps the process.
class Anchor {
 public:
  struct Root {
    base::UniqueFd directory;
    base::UniqueFd mount_namespace;  // where that is; invalid: it lies in none yet
  };
  // A clone of `rootfs`, a directory of ours that may or may not be a mount point.
  static base::Result<Root> RootAt(const std::string& rootfs);
  // That of another anchor, which has not been reaped.
  static base::Result<Root> RootOf(pid_t anchor);

  // `on_killed` is called once if somebody else ends it: a user who kills the task by its pid.
  // `network_namespace`: whose pid it shows to CNI, hooks and metrics. Returns when it has its root
  // directory, within milliseconds.
  static base::Result<std::unique_ptr<Anchor>> Start(base::EventLoop& loop,
                                                     base::BorrowedFd network_namespace,
                                                     const Root& root,
                                                     std::function<void()> on_killed);
  ~Anchor() { End(); }
  Anchor(const Anchor&) = delete;
  Anchor& operator=(const Anchor&) = delete;

  // Kills and reaps it: kill(pid, 0) gives ESRCH when this returns. Takes well under a millisecond.
  void End();
  pid_t pid() const { return pid_; }
  bool ended() const { return !process_.valid(); }

 private:
  Anchor() = default;
  pid_t pid_ = 0;
  base::Subprocess process_;
  base::UniqueFd socket_;
  base::Watch pidfd_watch_;
};

}  // namespace pod
