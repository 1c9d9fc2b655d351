// One process of a container as its clients see it: state, waiters, exit.
//
// Thread rule: reactor-bound. Its exit is told exactly once, to the waiters there are and to
// `on_exit`, and never before the answer to Start.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/pod/pod.h"

namespace pod {

class Process {
 public:
  enum class State { kCreated, kStarting, kRunning, kStopped };

  // `on_exit` is called from the loop, never from inside a call.
  Process(base::EventLoop& loop, std::function<void(const ExitInfo&)> on_exit)
      : loop_(loop), on_exit_(std::move(on_exit)) {}
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  State state() const { return state_; }
  Status status() const;
  const std::optional<ExitInfo>& exit() const { return exit_; }

  // CREATED → STARTING; kFailedPrecondition otherwise.
  base::Result<void> BeginStart();
  // The agent's answer, which the caller passes on before it returns to the loop. A failed start
  // goes back to CREATED.
  void FinishStart(bool started);
  // The start failed and will not be tried again, or none was tried before Delete: STOPPED, and the
  // waiters are released, but `on_exit` is not called, for a process that never was.
  void NeverStarts(const ExitInfo& exit);
  // Any time, any number of times; the first counts.
  void Exited(const ExitInfo& exit);
  // Dropped without a call once `caller` has expired.
  void Wait(std::weak_ptr<void> caller, ExitCallback done);
  size_t waiter_count() const { return waiters_.size(); }

 private:
  void Publish();

  base::EventLoop& loop_;
  std::function<void(const ExitInfo&)> on_exit_;
  State state_ = State::kCreated;
  std::optional<ExitInfo> exit_;
  std::optional<ExitInfo> held_;  // came while STARTING
  std::vector<std::pair<std::weak_ptr<void>, ExitCallback>> waiters_;
  base::Timer publish_;
};

}  // namespace pod
