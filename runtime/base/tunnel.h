// Tunnel: bytes both ways between two stream sockets.
//
// The end of one way is passed on as a shutdown(SHUT_WR), behind all that came before it; the
// tunnel ends with the second. A socket that takes no more (EPIPE) ends that way alone: what it has
// still to say is passed on. One that fails as it is read (ECONNRESET) is done with both.
//
// Thread rule: bound to the event loop. Ownership: owns both sockets; destroying it closes them.
// Memory: at most one read in flight each way: a side that does not take its bytes holds up the
// other.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace base {

class Tunnel {
 public:
  // `early`: what was read from `b` before. Both become non-blocking. `on_end` is called once, from
  // the loop; it may destroy the tunnel.
  static Result<std::unique_ptr<Tunnel>> Start(EventLoop& loop, UniqueFd a, UniqueFd b,
                                               std::string early, std::function<void()> on_end);

 private:
  struct Side {
    UniqueFd socket;
    Watch watch;
    uint32_t watched = 0;
    std::string pending;  // for this side, from `written` on still to be sent
    size_t written = 0;
    bool read_ended = false;   // it says no more
    bool write_ended = false;  // it was told the end, or takes no more
  };

  Tunnel(EventLoop& loop, std::function<void()> on_end) : loop_(loop), on_end_(std::move(on_end)) {}
  void OnSide();
  static void Move(Side& from, Side& to);
  static void Read(Side& from, Side& to);
  static void Flush(Side& to);
  Result<void> Wait(Side& side, const Side& other);
  void End();

  EventLoop& loop_;
  std::function<void()> on_end_;
  std::array<Side, 2> sides_;
};

}  // namespace base
