// One ttrpc connection, either end: frames in, frames out, over a stream socket made non-blocking.
//
// Thread rule: bound to the event loop. Ownership: owns the socket. Held by shared_ptr so that a
// callback may drop the owner's reference while the connection is still on the stack.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent-proto/ttrpc/frame.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace ttrpc {

// A peer that has left this much unread is cut off: four of the largest frames.
inline constexpr size_t kMaxBacklogBytes = 4 * (kFrameHeaderBytes + kMaxDataBytes);

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Callbacks {
    std::function<void(Frame)> on_frame;
    // Once, when the peer closed, the socket failed or the backlog overflowed; not after Close.
    // Never from inside Send.
    std::function<void()> on_closed;
    // Everything sent has been taken by the kernel; may be empty.
    std::function<void()> on_drained;
  };

  // No callback comes before this returns. `max_data_bytes`: of a frame that is read.
  static base::Result<std::shared_ptr<Connection>> Create(base::EventLoop& loop,
                                                          base::UniqueFd socket,
                                                          Callbacks callbacks,
                                                          size_t max_data_bytes = kMaxDataBytes);

  // Queues the frame and writes what the socket takes; after the end it is dropped.
  void Send(uint32_t stream_id, MessageType type, uint8_t flags, std::string_view data);
  bool drained() const { return out_.size() == written_; }
  bool closed() const { return closed_; }
  // Ends it once everything sent has been taken: on_closed follows.
  void CloseWhenDrained();
  // No callback follows.
  void Close();

 private:
  Connection(base::EventLoop& loop, base::UniqueFd socket, Callbacks callbacks,
             size_t max_data_bytes);
  void OnReady(uint32_t events);
  void ReadSome();
  void WriteSome();
  // Ends the connection; on_closed comes from the loop, so that no caller is re-entered.
  void Fail();
  void Shut();
  void UpdateEvents();

  base::EventLoop& loop_;
  base::UniqueFd socket_;
  Callbacks callbacks_;
  base::Watch watch_;
  uint32_t events_ = 0;
  FrameReader reader_;
  std::string out_;
  size_t written_ = 0;  // of out_
  bool closed_ = false;
  bool closing_ = false;  // CloseWhenDrained was called
  bool silent_ = false;   // Close was called
};

}  // namespace ttrpc
