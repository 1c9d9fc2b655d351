// One stream between a client of the Streaming service and a process of a pod: messages on the one
// side, a pipe on the other. Memory is bounded, nothing is dropped: the side that does not take its
// bytes holds up the other (containerd core/transfer/streaming: at most 32 KiB a message, and no
// more than the receiver's WindowUpdates allow).
//
//   output:  pipe ─► Data ─► client     ◄─ WindowUpdate ─
//   input:   client ─► Data ─► pipe     ─ WindowUpdate ─►
//
// A client may come before the process claims the stream, go, and come back: what the connection
// had not taken goes to the next one. One that closes before the claim has sent nothing, for want
// of a window: what is left of it is the end.
//
// Thread rule: reactor-bound. Ownership: shared by the service's table, the process' hold and the
// client's connection; the last one ends it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent-proto/proto/containerd/types.pb.h"
#include "agent-proto/ttrpc/server_stream.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace shim {

class IoStream : public std::enable_shared_from_this<IoStream> {
 public:
  enum class Direction { kOutput, kInput };
  static constexpr size_t kMaxDataBytes = 32 << 10;
  static constexpr size_t kWindowBytes = 64 << 10;

  explicit IoStream(base::EventLoop& loop) : loop_(loop) {}
  IoStream(const IoStream&) = delete;
  IoStream& operator=(const IoStream&) = delete;

  // The process' side. Claim gives its end of the pipe, once; kAlreadyExists then.
  base::Result<base::UniqueFd> Claim(Direction direction);
  bool claimed() const { return direction_.has_value(); }
  // Called from the loop, once: the client has read the end of an output, or has closed.
  void WhenTaken(std::function<void()> done) { on_taken_ = std::move(done); }
  void CloseInput();

  // The client's side. Attach acknowledges, takes the place of an earlier client, and gives the
  // number by which this one is known.
  uint64_t Attach(ttrpc::ServerStream client);
  bool attached() const { return client_.has_value(); }
  // Its client closed it in order, before a process claimed it: as an input, it reads the end.
  bool ended_unclaimed() const { return closed_ && !claimed(); }
  std::chrono::steady_clock::time_point closed_at() const { return closed_at_; }
  void OnMessage(uint64_t attachment, std::string_view message);
  void OnClose(uint64_t attachment);
  void OnReady(uint64_t attachment);
  void OnGone(uint64_t attachment);

 private:
  base::Result<void> Take(const containerd::Any& any);
  base::Result<void> OnWindow(std::string_view bytes);
  base::Result<void> OnInput(std::string_view bytes);
  void Break(base::Error error);
  void Send(const char* type, const std::string& message);
  void Pump();
  void PumpOutput();
  bool ReadPipe();
  void PumpInput();
  void Grant();
  void Wait(uint32_t events);
  void Taken();

  base::EventLoop& loop_;
  std::optional<Direction> direction_;
  base::UniqueFd pipe_;  // our end
  base::Watch watch_;    // of the pipe, while we wait for it
  std::optional<ttrpc::ServerStream> client_;
  uint64_t attachment_ = 0;
  bool ended_ = false;  // client_ was told the end

  int64_t window_ = 0;  // what the client takes yet
  std::string unsent_;  // read from the pipe; the first sent_ bytes may not have been taken
  size_t sent_ = 0;
  bool at_end_ = false;  // of the pipe
  std::function<void()> on_taken_;
  base::Timer taken_;

  size_t granted_ = 0;   // what the client may send yet
  std::string pending_;  // to be written to the pipe
  bool closed_ = false;  // by the client
  std::chrono::steady_clock::time_point closed_at_;
  bool close_asked_ = false;  // by CloseInput
};

}  // namespace shim
