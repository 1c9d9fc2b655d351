#include "runtime/pod/process_stdio.h"

#include <utility>

namespace pod {
namespace {

using base::Code;
using base::MakeError;

constexpr const char* kNames[] = {"stdin", "stdout", "stderr"};

base::Result<OpenedStream> OpenStream(ClientStreams* streams, const StdioUri& uri, bool output) {
  if (streams == nullptr) {
    return MakeError(Code::kUnimplemented, "streaming_id {}: streams are not served here",
                     uri.stream_id);
  }
  return output ? streams->OpenOutput(uri.stream_id) : streams->OpenInput(uri.stream_id);
}

}  // namespace

bool Stdio::wants(StreamKind kind) const {
  switch (kind) {
    case StreamKind::kStdin:
      return !paths_.in.empty();
    case StreamKind::kStdout:
      return !paths_.out.empty();
    case StreamKind::kStderr: {
      if (paths_.terminal) return false;
      const base::Result<StdioUri> out = ParseStdioUri(paths_.out);
      return !paths_.err.empty() || (out && out->takes_both());
    }
  }
  return false;
}

void Stdio::Open(std::function<void(base::Result<void>)> done) {
  on_open_ = std::move(done);
  opening_ = 1;  // ours, so that nothing finishes before all have begun
  if (wants(StreamKind::kStdin)) {
    base::Result<InputFifo> input = OpenStdin();
    if (!input) return FinishOpening(std::move(input.error()));
    input_fifo_ = std::move(*input);
  }
  FinishOpening(OpenOutputs());
}

base::Result<InputFifo> Stdio::OpenStdin() {
  const StdioUri in = TRY(ParseStdioUri(paths_.in));
  if (in.takes_both()) {
    return MakeError(Code::kInvalidArgument,
                     "stdin {}: only a fifo, a file or a stream can be read", paths_.in);
  }
  if (in.kind != StdioUri::Kind::kStream) return OpenInput(in.path);
  OpenedStream opened = TRY(OpenStream(streams_, in, /*output=*/false), "stdin");
  input_stream_ = std::move(opened.stream);
  if (input_closed_) input_stream_->CloseInput();
  return InputFifo{std::move(opened.pipe), {}};
}

// The target of stdout decides for both.
base::Result<void> Stdio::OpenOutputs() {
  const StdioUri out = TRY(ParseStdioUri(paths_.out));
  switch (out.kind) {
    case StdioUri::Kind::kBinary:
      return StartLogProgram(out);
    case StdioUri::Kind::kFile:
      output(StreamKind::kStdout).fifo = TRY(OpenLogFile(out.path));
      if (wants(StreamKind::kStderr)) {
        output(StreamKind::kStderr).fifo = TRY(OpenLogFile(out.path));
      }
      return base::Ok();
    case StdioUri::Kind::kPath:
    case StdioUri::Kind::kStream:
      break;
  }
  if (wants(StreamKind::kStdout)) TRY(OpenOutput(StreamKind::kStdout, out));
  if (!wants(StreamKind::kStderr)) return base::Ok();
  const StdioUri err = TRY(ParseStdioUri(paths_.err));
  if (err.takes_both()) {
    return MakeError(Code::kInvalidArgument, "stderr {}: only stdout may name a file or a program",
                     paths_.err);
  }
  return OpenOutput(StreamKind::kStderr, err);
}

base::Result<void> Stdio::StartLogProgram(const StdioUri& uri) {
  log_program_ =
      TRY(LogProgram::Start(loop_, {uri.path, uri.arguments, paths_.id, paths_.ns},
                            [this](base::Result<void> ready) { FinishOpening(std::move(ready)); }));
  output(StreamKind::kStdout).fifo = OutputFifo{log_program_->TakeOut(), {}};
  base::UniqueFd err = log_program_->TakeErr();
  // Without one of ours, it reads the end of stderr at once.
  if (wants(StreamKind::kStderr)) {
    output(StreamKind::kStderr).fifo = OutputFifo{std::move(err), {}};
  }
  ++opening_;
  return base::Ok();
}

base::Result<void> Stdio::OpenOutput(StreamKind kind, const StdioUri& uri) {
  if (uri.kind == StdioUri::Kind::kStream) {
    Output& out = output(kind);
    OpenedStream opened =
        TRY(OpenStream(streams_, uri, /*output=*/true), "{}", kNames[static_cast<int>(kind)]);
    out.stream = std::move(opened.stream);
    out.taken = false;
    out.stream->WhenTaken([this, kind] {
      output(kind).taken = true;
      CheckTaken();
    });
    out.fifo = OutputFifo{std::move(opened.pipe), {}};
    return base::Ok();
  }
  ++opening_;
  output(kind).opener =
      OutputOpener::Open(loop_, uri.path, [this, kind](base::Result<OutputFifo> opened) {
        const std::unique_ptr<OutputOpener> opener = std::move(output(kind).opener);
        if (!opened) {
          opened.error().Push(__FILE__, __LINE__, "{}", kNames[static_cast<int>(kind)]);
          return FinishOpening(std::move(opened.error()));
        }
        output(kind).fifo = std::move(*opened);
        FinishOpening(base::Ok());
      });
  return base::Ok();
}

// Reports the first failure, or that the last has been opened; from the loop, never from a caller.
void Stdio::FinishOpening(base::Result<void> result) {
  --opening_;
  if (!on_open_ || (result && opening_ > 0)) return;
  auto shared = std::make_shared<base::Result<void>>(std::move(result));
  report_ =
      loop_.After(std::chrono::nanoseconds(0), [done = std::exchange(on_open_, nullptr), shared] {
        const auto report = done;
        report(std::move(*shared));
      });
}

base::Result<void> Stdio::Attach(StreamKind kind, base::UniqueFd stream, stream::Decoder decoder) {
  const char* const name = kNames[static_cast<int>(kind)];
  if (!wants(kind)) {
    return MakeError(Code::kInvalidArgument, "{}: the guest opened a stream nobody asked for",
                     name);
  }
  if (kind == StreamKind::kStdin) {
    if (input_attached_ || !input_fifo_) {
      return MakeError(Code::kInvalidArgument, "{}: the guest opened it twice", name);
    }
    input_attached_ = true;
    input_ = TRY(InputRelay::Start(loop_, std::move(stream), std::move(*input_fifo_)));
    if (input_closed_) input_->CloseInput();
    return base::Ok();
  }
  Output& out = output(kind);
  if (out.attached || !out.fifo) {
    return MakeError(Code::kInvalidArgument, "{}: the guest opened it twice, or too early", name);
  }
  out.attached = true;
  out.relay = TRY(OutputRelay::Start(loop_, std::move(stream), std::move(decoder),
                                     std::move(*out.fifo), [this, kind] {
                                       output(kind).ended = true;
                                       CheckDrained();
                                     }));
  return base::Ok();
}

void Stdio::CloseInput() {
  input_closed_ = true;
  if (input_) input_->CloseInput();
  if (input_stream_) input_stream_->CloseInput();
}

void Stdio::Close() {
  if (on_open_) FinishOpening(MakeError(Code::kCancelled, "the streams were closed"));
  input_fifo_.reset();
  input_.reset();
  for (Output& out : outputs_) {
    out.opener.reset();
    out.fifo.reset();
    out.relay.reset();
    out.ended = true;
    out.taken = true;
  }
  CheckDrained();
  CheckTaken();
}

bool Stdio::drained() const {
  for (const Output& out : outputs_) {
    if (out.attached && !out.ended) return false;
  }
  return true;
}

void Stdio::CheckDrained() {
  if (!on_drained_ || !drained()) return;
  limit_.Cancel();
  auto done = std::exchange(on_drained_, nullptr);
  if (log_program_) {
    // What was never attached still holds the program's input open.
    for (Output& out : outputs_) out.fifo.reset();
    return log_program_->End(std::move(done));
  }
  report_ = loop_.After(std::chrono::nanoseconds(0), [done = std::move(done)] {
    const auto report = done;
    report();
  });
}

void Stdio::WhenDrained(std::chrono::nanoseconds limit, std::function<void()> done) {
  on_drained_ = std::move(done);
  limit_ = loop_.After(limit, [this] {
    for (Output& out : outputs_) {
      out.relay.reset();
      out.ended = true;
    }
    CheckDrained();
  });
  CheckDrained();
}

void Stdio::WhenTaken(std::chrono::nanoseconds limit, std::function<void()> done) {
  on_taken_ = std::move(done);
  taken_limit_ = loop_.After(limit, [this] {
    for (Output& out : outputs_) out.taken = true;
    CheckTaken();
  });
  CheckTaken();
}

void Stdio::CheckTaken() {
  if (!on_taken_) return;
  for (const Output& out : outputs_) {
    if (out.attached && !out.taken) return;
  }
  taken_limit_.Cancel();
  const auto done = std::exchange(on_taken_, nullptr);
  done();
}

}  // namespace pod
