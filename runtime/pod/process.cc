#include "runtime/pod/process.h"

#include <algorithm>

namespace pod {

//              BeginStart               FinishStart(true)
//   CREATED ────────────────► STARTING ───────────────────► RUNNING
//    │   ▲   FinishStart(false) │  │ Exited: held until        │
//    │   └──────────────────────┘  │ FinishStart               │ Exited
//    │ Exited: killed, or          ▼                           ▼
//    └─ the pod died ───────────► STOPPED ◄────────────────────┘
//
// The exit is published from the loop, a turn after the transition: the answer to Start, and the
// start event that the caller makes of it, are out by then.

Status Process::status() const {
  switch (state_) {
    case State::kCreated:
    case State::kStarting:
      return Status::kCreated;
    case State::kRunning:
      return Status::kRunning;
    case State::kStopped:
      return Status::kStopped;
  }
  return Status::kUnknown;
}

base::Result<void> Process::BeginStart() {
  if (state_ == State::kCreated) {
    state_ = State::kStarting;
    return base::Ok();
  }
  return base::MakeError(base::Code::kFailedPrecondition, "{}",
                         state_ == State::kStopped ? "the process has ended already"
                                                   : "the process was started already");
}

void Process::FinishStart(bool started) {
  if (state_ != State::kStarting) return;
  state_ = started ? State::kRunning : State::kCreated;
  if (const std::optional<ExitInfo> held = std::exchange(held_, std::nullopt)) Exited(*held);
}

void Process::NeverStarts(const ExitInfo& exit) {
  if (state_ != State::kStarting && state_ != State::kCreated) return;
  on_exit_ = nullptr;
  held_.reset();
  FinishStart(false);
  Exited(exit);
}

void Process::Exited(const ExitInfo& exit) {
  if (state_ == State::kStopped) return;
  if (state_ == State::kStarting) {
    if (!held_) held_ = exit;
    return;
  }
  state_ = State::kStopped;
  exit_ = exit;
  publish_ = loop_.After(std::chrono::nanoseconds(0), [this] { Publish(); });
}

void Process::Publish() {
  const ExitInfo exit = *exit_;
  const auto waiters = std::exchange(waiters_, {});
  const auto on_exit = std::exchange(on_exit_, nullptr);
  // Nothing of this object is touched from here on: a callback may destroy it.
  if (on_exit) on_exit(exit);
  for (const auto& [caller, done] : waiters) {
    if (!caller.expired()) done(exit);
  }
}

void Process::Wait(std::weak_ptr<void> caller, ExitCallback done) {
  if (exit_ && !publish_.active()) return done(*exit_);
  // Those whose callers have gone are swept here, so that waiting and hanging up in a loop does
  // not grow the list.
  waiters_.erase(std::remove_if(waiters_.begin(), waiters_.end(),
                                [](const auto& waiter) { return waiter.first.expired(); }),
                 waiters_.end());
  waiters_.emplace_back(std::move(caller), std::move(done));
}

}  // namespace pod
