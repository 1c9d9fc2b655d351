// Takes clients of our own uid and gid (SO_PEERCRED) from a listening AF_UNIX socket; others are
// refused with a line in the log.
//
// Thread rule: bound to the event loop. Ownership: owns the listener; destroying it stops
// accepting.
#pragma once

#include <functional>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace ttrpc {

class Acceptor {
 public:
  // `take` gets each connected, non-blocking socket; what it fails with is logged. The loop must
  // outlive the acceptor.
  Acceptor(base::EventLoop& loop, std::function<base::Result<void>(base::UniqueFd)> take);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  base::Result<void> Listen(base::UniqueFd listener);
  void Stop();

 private:
  void OnConnection();

  base::EventLoop& loop_;
  std::function<base::Result<void>(base::UniqueFd)> take_;
  base::UniqueFd listener_;
  base::Watch watch_;
  base::Timer pause_;
};

}  // namespace ttrpc
