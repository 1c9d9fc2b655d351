// The anchor of a container: a process that does nothing but have a pid, by which containerd, CNI
// and nerdctl know the task (/proc/<pid>/ns, kill(pid, 0)), and a place in the OCI cgroup.
//
// It is the shim's own program under the verb "anchor" and ends when the shim closes its socket, or
// dies.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>

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
  // `on_killed` is called once if somebody else ends it: a user who kills the task by its pid.
  // `network_namespace`: whose pid it shows to CNI, hooks and metrics.
  static base::Result<std::unique_ptr<Anchor>> Start(base::EventLoop& loop,
                                                     base::BorrowedFd network_namespace,
                                                     std::function<void()> on_killed);
  ~Anchor() { End(); }
  Anchor(const Anchor&) = delete;
  Anchor& operator=(const Anchor&) = delete;

  // Kills and reaps it: kill(pid, 0) gives ESRCH when this returns. Takes well under a millisecond.
  void End();
  pid_t pid() const { return pid_; }

 private:
  Anchor() = default;
  pid_t pid_ = 0;
  base::Subprocess process_;
  base::UniqueFd socket_;
  base::Watch pidfd_watch_;
};

}  // namespace pod
