// Reaper: the ends of all children, also of the orphans that a PID 1 adopts.
//
// Thread rule: bound to the event loop. SIGCHLD must be blocked (Create does it) and no one else
// may wait for children. Since pids are freed only here, a pid that is expected and not yet
// reported cannot have been given to another process.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <unordered_map>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

class Reaper {
 public:
  using OnExit = std::function<void(int wait_status)>;

  // `loop` must outlive the reaper.
  static base::Result<std::unique_ptr<Reaper>> Create(base::EventLoop& loop);

  // Calls `on_exit` once, from the loop, when the child `pid` has ended. To be called in the same
  // turn of the loop as the clone(2).
  void Expect(pid_t pid, OnExit on_exit);
  // Its end is nobody's business any more.
  void Forget(pid_t pid) { expected_.erase(pid); }

 private:
  explicit Reaper(base::UniqueFd signal_fd) : signal_fd_(std::move(signal_fd)) {}
  void Collect();

  base::UniqueFd signal_fd_;
  base::Watch watch_;
  std::unordered_map<pid_t, OnExit> expected_;
};

}  // namespace agent
