#include "runtime/pod/line_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "runtime/base/log.h"

namespace pod {
namespace {

// Per readiness, so that a writer who never stops does not keep the reactor to himself.
constexpr int kReadsPerEvent = 4;
constexpr int kReadsWhenDraining = 64;
constexpr double kLogLinesPerSecond = 50;

}  // namespace

LineReader::LineReader(base::UniqueFd pipe, std::function<void(std::string_view)> on_line)
    : pipe_(std::move(pipe)), on_line_(std::move(on_line)) {}

LineReader::~LineReader() = default;

base::Result<std::unique_ptr<LineReader>> LineReader::Create(
    base::EventLoop& loop, base::UniqueFd pipe, std::function<void(std::string_view)> on_line) {
  std::unique_ptr<LineReader> reader(new LineReader(std::move(pipe), std::move(on_line)));
  reader->watch_ = TRY(loop.WatchFd(reader->pipe_, EPOLLIN, [raw = reader.get()](uint32_t) {
    for (int i = 0; i < kReadsPerEvent; ++i) {
      if (!raw->ReadSome()) return;
    }
  }));
  return reader;
}

bool LineReader::ReadSome() {
  char buffer[4096];
  const ssize_t size = TEMP_FAILURE_RETRY(read(pipe_.get(), buffer, sizeof buffer));
  if (size > 0) {
    Take({buffer, static_cast<size_t>(size)});
    return true;
  }
  if (size < 0 && errno == EAGAIN) return false;
  watch_.Cancel();
  return false;
}

void LineReader::Drain() {
  for (int i = 0; i < kReadsWhenDraining && ReadSome(); ++i) {
  }
  if (!line_.empty()) Emit();
}

void LineReader::Take(std::string_view bytes) {
  for (const char c : bytes) {
    if (c == '\n') {
      Emit();
      continue;
    }
    if (c == '\r') continue;
    line_ += c;
    if (line_.size() == kMaxLineBytes) Emit();
  }
}

void LineReader::Emit() {
  const std::string line = std::exchange(line_, {});
  on_line_(line);
}

bool RateLimit::Allow(std::chrono::steady_clock::time_point now) {
  const double seconds = std::chrono::duration<double>(now - last_).count();
  last_ = now;
  tokens_ = std::min(burst_, tokens_ + std::max(0.0, seconds) * burst_);
  if (tokens_ < 1) {
    ++dropped_;
    return false;
  }
  tokens_ -= 1;
  return true;
}

LimitedLog::LimitedLog(std::string prefix)
    : prefix_(std::move(prefix)), limit_(kLogLinesPerSecond) {}

void LimitedLog::Add(base::LogLevel level, std::string_view line) {
  if (!limit_.Allow(std::chrono::steady_clock::now())) return;
  const uint64_t dropped = limit_.TakeDropped();
  if (dropped > 0) LOG_WARNING("{}: {} lines left out", prefix_, dropped);
  BASE_LOG(level, "{}: {}", prefix_, base::Escaped(line));
}

base::Result<std::unique_ptr<LineReader>> LogLinesOf(base::EventLoop& loop, base::UniqueFd pipe,
                                                     std::string prefix) {
  return LineReader::Create(loop, std::move(pipe),
                            [log = LimitedLog(std::move(prefix))](std::string_view line) mutable {
                              if (!line.empty()) log.Add(base::LogLevel::kInfo, line);
                            });
}

base::Result<Pipe> MakePipe(bool nonblocking_writer) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return base::ErrnoError("pipe2");
  Pipe pipe{base::UniqueFd(fds[0]), base::UniqueFd(fds[1])};
  if (fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0 ||
      (nonblocking_writer && fcntl(fds[1], F_SETFL, O_NONBLOCK) != 0)) {
    return base::ErrnoError("fcntl(F_SETFL)");
  }
  return pipe;
}

}  // namespace pod
