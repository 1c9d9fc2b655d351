// The standard streams of one process: opens the client's ends, takes the guest's, relays.
//
// Thread rule: reactor-bound. Destroying it closes everything at once.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent-proto/stream/stream_codec.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/pod/client_streams.h"
#include "runtime/pod/fifo.h"
#include "runtime/pod/log_program.h"
#include "runtime/pod/relay.h"
#include "runtime/pod/stdio_uri.h"

namespace pod {

enum class StreamKind { kStdin = 0, kStdout = 1, kStderr = 2 };

class Stdio {
 public:
  // Paths as the client sent them; empty: not connected.
  struct Paths {
    std::string in;
    std::string out;
    std::string err;
    bool terminal = false;  // then `err` is not connected: the tty is one stream
    // For a logging program: the container's id or the exec's, and the namespace.
    std::string id;
    std::string ns;
  };

  // `streams` outlives it; null: paths that name a client's stream are refused.
  Stdio(base::EventLoop& loop, Paths paths, ClientStreams* streams = nullptr)
      : loop_(loop), paths_(std::move(paths)), streams_(streams) {}

  // Opens the client's ends. `done` is called once, later, when the outputs have their readers.
  void Open(std::function<void(base::Result<void>)> done);
  bool wants(StreamKind kind) const;

  // The guest's end of `kind`, which must be wanted and not attached before. `decoder` has taken
  // the StreamHello.
  base::Result<void> Attach(StreamKind kind, base::UniqueFd stream, stream::Decoder decoder);

  void CloseInput();
  // Ends all at once: the clients read the end of their outputs.
  void Close();

  // `done` is called once, later: when the outputs have passed on everything, or after `limit`, and
  // a logging program has ended.
  void WhenDrained(std::chrono::nanoseconds limit, std::function<void()> done);

  // `done` is called once: when the clients of outputs that are streams have read the end of them,
  // or after `limit`; at once if there are none.
  void WhenTaken(std::chrono::nanoseconds limit, std::function<void()> done);

 private:
  struct Output {
    std::unique_ptr<OutputOpener> opener;
    std::unique_ptr<ClientStream> stream;  // if it is one: until the process is deleted
    std::optional<OutputFifo> fifo;
    std::unique_ptr<OutputRelay> relay;
    bool taken = true;
    bool attached = false;
    bool ended = false;
  };
  Output& output(StreamKind kind) { return outputs_[kind == StreamKind::kStderr ? 1 : 0]; }
  base::Result<void> OpenOutputs();
  base::Result<void> OpenOutput(StreamKind kind, const StdioUri& uri);
  base::Result<InputFifo> OpenStdin();
  base::Result<void> StartLogProgram(const StdioUri& uri);
  void FinishOpening(base::Result<void> result);
  bool drained() const;
  void CheckDrained();
  void CheckTaken();

  base::EventLoop& loop_;
  const Paths paths_;
  ClientStreams* const streams_;
  std::unique_ptr<ClientStream> input_stream_;
  std::optional<InputFifo> input_fifo_;
  std::unique_ptr<InputRelay> input_;
  bool input_attached_ = false;
  bool input_closed_ = false;
  std::array<Output, 2> outputs_;
  std::unique_ptr<LogProgram> log_program_;  // after its outputs, so that it goes before them
  int opening_ = 0;
  std::function<void(base::Result<void>)> on_open_;
  std::function<void()> on_drained_;
  std::function<void()> on_taken_;
  base::Timer report_;
  base::Timer limit_;
  base::Timer taken_limit_;
};

}  // namespace pod
