// Reads lines from a pipe whose writer nobody trusts: a guest's console, the log of a jailed child.
//
// Thread rule: reactor-bound. Ownership: owns the pipe's end. A line longer than kMaxLineBytes is
// cut into several; lines come without their newline and unescaped.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/base/event_loop.h"
#include "runtime/base/log.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace pod {

class LineReader {
 public:
  static constexpr size_t kMaxLineBytes = 1024;

  static base::Result<std::unique_ptr<LineReader>> Create(
      base::EventLoop& loop, base::UniqueFd pipe, std::function<void(std::string_view)> on_line);
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;
  ~LineReader();

  // Reads what the pipe holds at this moment, and hands out an unfinished last line: for what a
  // process said just before it died.
  void Drain();

 private:
  LineReader(base::UniqueFd pipe, std::function<void(std::string_view)> on_line);
  bool ReadSome();  // false: nothing more for now, or ever
  void Take(std::string_view bytes);
  void Emit();

  base::UniqueFd pipe_;
  std::function<void(std::string_view)> on_line_;
  std::string line_;
  base::Watch watch_;  // last: goes first
};

// At most `burst` lines at once and `burst` a second on average; says afterwards how many were
// left out. Thread rule: a value.
class RateLimit {
 public:
  explicit RateLimit(double burst) : burst_(burst), tokens_(burst) {}
  // Whether the next line may pass.
  bool Allow(std::chrono::steady_clock::time_point now);
  // Lines refused since the last call.
  uint64_t TakeDropped() { return std::exchange(dropped_, 0); }

 private:
  double burst_;
  double tokens_;
  std::chrono::steady_clock::time_point last_{};
  uint64_t dropped_ = 0;
};

// Log lines that a guest can cause: "prefix: line", escaped, as many as a RateLimit lets pass.
class LimitedLog {
 public:
  explicit LimitedLog(std::string prefix);
  void Add(base::LogLevel level, std::string_view line);

 private:
  std::string prefix_;
  RateLimit limit_;
};

// Logs each line of `pipe`, escaped and rate-limited, behind "prefix: ".
base::Result<std::unique_ptr<LineReader>> LogLinesOf(base::EventLoop& loop, base::UniqueFd pipe,
                                                     std::string prefix);

// A pipe whose both ends are close-on-exec and non-blocking as asked.
struct Pipe {
  base::UniqueFd read_end;
  base::UniqueFd write_end;
};
base::Result<Pipe> MakePipe(bool nonblocking_writer);

}  // namespace pod
