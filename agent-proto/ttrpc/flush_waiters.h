// Who waits until a transport has written every answer out: Transport::WhenFlushed, whatever the
// transport. Thread rule: bound to the event loop. Ownership: nobody is called once it is gone.
// Internal to agent-proto.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/base/event_loop.h"

namespace ttrpc {

class FlushWaiters {
 public:
  // `loop` outlives it. `flushed`: nothing that was given waits to be written.
  FlushWaiters(base::EventLoop& loop, std::function<bool()> flushed)
      : loop_(loop), flushed_(std::move(flushed)) {}

  // Calls `idle` from the loop, once.
  void Add(std::function<void()> idle) {
    waiting_.push_back(std::move(idle));
    Check();
  }
  // Something was written, or never will be.
  void Check() {
    if (waiting_.empty() || !flushed_()) return;
    for (auto& idle : waiting_) {
      loop_.Post([idle = std::move(idle), alive = std::weak_ptr<void>(alive_)] {
        if (!alive.expired()) idle();
      });
    }
    waiting_.clear();
  }

 private:
  base::EventLoop& loop_;
  const std::function<bool()> flushed_;
  std::vector<std::function<void()>> waiting_;
  const std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace ttrpc
