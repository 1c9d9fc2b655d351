// One standard stream of a process: between the client's fifo and the stream connection of the
// guest (agent-proto/stream). Memory is bounded, nothing is dropped: a side that does not take its
// bytes holds up the other.
//
// Thread rule: reactor-bound. Ownership: owns both descriptors, closes them when it has ended or
// goes. Trust: the guest's frames are checked by stream::Decoder; a bad one ends the stream.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent-proto/stream/stream_codec.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/pod/fifo.h"

namespace pod {

// Guest → client.
class OutputRelay {
 public:
  // `decoder` has taken the StreamHello and may hold what came behind it. `on_end` is called once,
  // never from inside this call, when all has been passed on or cannot be.
  static base::Result<std::unique_ptr<OutputRelay>> Start(base::EventLoop& loop,
                                                          base::UniqueFd stream,
                                                          stream::Decoder decoder, OutputFifo fifo,
                                                          std::function<void()> on_end);

 private:
  OutputRelay(base::EventLoop& loop, base::UniqueFd stream, stream::Decoder decoder,
              OutputFifo fifo, std::function<void()> on_end);
  enum class Step { kAgain, kWaitForGuest, kWaitForClient, kEnd };
  void Pump();
  Step PumpOnce();
  Step ReadStream();
  void Wait(bool for_guest);
  void End();

  base::EventLoop& loop_;
  base::UniqueFd stream_;
  stream::Decoder decoder_;
  OutputFifo fifo_;
  std::function<void()> on_end_;
  std::string pending_;  // a frame's bytes, from `written_` on still to be passed on
  size_t written_ = 0;
  base::Timer start_;
  base::Watch stream_watch_;  // one of the two at a time
  base::Watch fifo_watch_;    // never for a file that cannot be polled
};

// Client → guest. The end of the client's bytes reaches the guest in band.
class InputRelay {
 public:
  static base::Result<std::unique_ptr<InputRelay>> Start(base::EventLoop& loop,
                                                         base::UniqueFd stream, InputFifo fifo);
  // Drops our own writer: when the client closes his, the process reads end of file.
  void CloseInput();

 private:
  InputRelay(base::EventLoop& loop, base::UniqueFd stream, InputFifo fifo);
  base::Result<void> AwaitFifo();
  void OnFifo();
  void OnStream(uint32_t events);
  void Flush();
  void End();

  base::EventLoop& loop_;
  base::UniqueFd stream_;
  InputFifo fifo_;
  std::string pending_;  // frames, from `written_` on still to be sent
  size_t written_ = 0;
  bool ended_ = false;  // the last frame is in `pending_`
  base::Timer next_;
  base::Watch fifo_watch_;  // never for a file that cannot be polled
  base::Watch stream_watch_;
};

}  // namespace pod
