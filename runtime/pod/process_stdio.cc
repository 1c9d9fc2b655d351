#include "runtime/pod/process_stdio.h"

#include <utility>

namespace pod {
namespace {

using base::Code;
using base::MakeError;

constexpr const char* kNames[] = {"stdin", "stdout", "stderr"};

}  // namespace

bool Stdio::wants(StreamKind kind) const {
  switch (kind) {
    case StreamKind::kStdin:
      return !paths_.in.empty();
    case StreamKind::kStdout:
      return !paths_.out.empty();
    case StreamKind::kStderr:
      return !paths_.err.empty() && !paths_.terminal;
  }
  return false;
}

void Stdio::Open(std::function<void(base::Result<void>)> done) {
  on_open_ = std::move(done);
  opening_ = 1;  // ours, so that nothing finishes before all have begun
  if (wants(StreamKind::kStdin)) {
    base::Result<std::string> path = StdioPath(paths_.in);
    base::Result<InputFifo> input =
        path ? OpenInput(*path) : base::Result<InputFifo>(std::move(path.error()));
    if (!input) return FinishOpening(std::move(input.error()));
    input_fifo_ = std::move(*input);
  }
  if (wants(StreamKind::kStdout)) OpenOutput(StreamKind::kStdout, paths_.out);
  if (wants(StreamKind::kStderr)) OpenOutput(StreamKind::kStderr, paths_.err);
  FinishOpening(base::Ok());
}

void Stdio::OpenOutput(StreamKind kind, const std::string& uri) {
  base::Result<std::string> path = StdioPath(uri);
  if (!path) return FinishOpening(std::move(path.error()));
  ++opening_;
  output(kind).opener =
      OutputOpener::Open(loop_, *path, [this, kind](base::Result<OutputFifo> opened) {
        const std::unique_ptr<OutputOpener> opener = std::move(output(kind).opener);
        if (!opened) {
          opened.error().Push(__FILE__, __LINE__, "{}", kNames[static_cast<int>(kind)]);
          return FinishOpening(std::move(opened.error()));
        }
        output(kind).fifo = std::move(*opened);
        FinishOpening(base::Ok());
      });
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
  report_ = loop_.After(std::chrono::nanoseconds(0), [done = std::exchange(on_drained_, nullptr)] {
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

}  // namespace pod
