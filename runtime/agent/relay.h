// Relays between a container's stdio and its streams on the host.
//
// Thread rule: bound to the event loop. Ownership: each owns both its descriptors. Memory: at most
// one frame or one read in flight a relay; while one side cannot take it, the other is not read.
// A stream ends when the pipe does, which a grandchild may hold open long after the process.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent-proto/stream/stream_codec.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

// From a pipe or a terminal to the host.
class OutputRelay {
 public:
  // Both descriptors become non-blocking. `on_end` is called once, from the loop: all that came was
  // sent, with the end. It may destroy the relay.
  static base::Result<std::unique_ptr<OutputRelay>> Create(base::EventLoop& loop,
                                                           base::UniqueFd source,
                                                           base::UniqueFd host,
                                                           std::function<void()> on_end);

 private:
  explicit OutputRelay(base::EventLoop& loop) : loop_(loop) {}
  void OnSource();
  bool PassOn();
  void Flush();
  void OnHost(uint32_t events);
  void Arm();
  void LoseHost();

  base::EventLoop& loop_;
  base::UniqueFd source_;
  base::UniqueFd host_;
  base::Watch source_watch_;
  base::Watch host_watch_;
  std::string pending_;     // framed, not yet taken by the host
  bool host_full_ = false;  // so the host is watched for room, too
  bool source_ended_ = false;
  std::function<void()> on_end_;
};

// From the host to a pipe or a terminal.
class InputRelay {
 public:
  // `close_on_end`: the end of the stream closes `sink` (a pipe); a terminal stays open.
  static base::Result<std::unique_ptr<InputRelay>> Create(base::EventLoop& loop,
                                                          base::UniqueFd host, base::UniqueFd sink,
                                                          bool close_on_end);

 private:
  explicit InputRelay(base::EventLoop& loop) : loop_(loop) {}
  void OnHost();
  void OnSink(uint32_t events);
  void Drain();
  void Arm();
  void Finish();

  base::EventLoop& loop_;
  base::UniqueFd host_;
  base::UniqueFd sink_;
  base::Watch host_watch_;
  base::Watch sink_watch_;
  stream::Decoder decoder_;
  std::string pending_;  // unframed, not yet taken by the sink
  bool host_ended_ = false;
  bool close_on_end_ = true;
};

}  // namespace agent
