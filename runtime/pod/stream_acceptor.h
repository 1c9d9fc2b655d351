// Takes connections that the guest made to kStreamPort, reads the StreamHello of each, and hands
// them out.
//
// Trust: anybody in the guest may connect and say anything, or nothing: at most kMaxPending
// connections without a hello, kHelloTimeout each, a hello of kMaxHelloBytes, and it must carry the
// token, which only the agent was told. Thread rule:
// reactor-bound. Ownership: owns connections until they are handed out.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "agent-proto/stream/stream_codec.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/pod/line_reader.h"
#include "runtime/pod/process_stdio.h"

namespace pod {

struct GuestStream {
  std::string container_id;
  std::string exec_id;
  StreamKind kind = StreamKind::kStdin;
  bool forward = false;  // no stream of a process: exec_id is the forward's id (port_forward.h)
  base::UniqueFd socket;
  stream::Decoder decoder;  // with what followed the hello
};

class StreamAcceptor {
 public:
  static constexpr size_t kMaxPending = 64;
  static constexpr size_t kMaxHelloBytes = 4096;
  static constexpr std::chrono::seconds kHelloTimeout{60};

  StreamAcceptor(base::EventLoop& loop, std::string token,
                 std::function<void(GuestStream)> on_stream)
      : loop_(loop), token_(std::move(token)), on_stream_(std::move(on_stream)) {}
  StreamAcceptor(const StreamAcceptor&) = delete;
  StreamAcceptor& operator=(const StreamAcceptor&) = delete;

  // Closes `socket` if too many wait.
  void Accept(base::UniqueFd socket);
  size_t pending() const { return pending_.size(); }

 private:
  struct Pending {
    base::UniqueFd socket;
    stream::Decoder decoder;
    base::Watch watch;
    base::Timer timer;
  };
  void OnReadable(uint64_t id);
  base::Result<bool> TryHello(Pending& pending, GuestStream* stream);

  base::EventLoop& loop_;
  const std::string token_;
  std::function<void(GuestStream)> on_stream_;
  uint64_t next_id_ = 0;
  std::map<uint64_t, Pending> pending_;
  LimitedLog log_{"stdio"};
};

}  // namespace pod
