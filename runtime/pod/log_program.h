// A client's logging program, "binary://": reads a process' outputs from pipes until they end
// (containerd core/runtime/v2 README, "Logging"; runtime/v2/logging).
//
// Thread rule: reactor-bound. Ownership: destroying it kills the program without waiting; End ends
// it in good order.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/subprocess.h"
#include "runtime/base/unique_fd.h"

namespace pod {

class LogProgram {
 public:
  struct Options {
    std::string program;
    std::vector<std::string> arguments;
    std::string id;  // the container's, or the exec's
    std::string ns;
  };

  // `on_ready` is called once, later: when the program has said that it reads, or with why it does
  // not, 60 s at most.
  static base::Result<std::unique_ptr<LogProgram>> Start(
      base::EventLoop& loop, const Options& options,
      std::function<void(base::Result<void>)> on_ready);
  ~LogProgram();
  LogProgram(const LogProgram&) = delete;
  LogProgram& operator=(const LogProgram&) = delete;

  // Our ends of its inputs, each to be taken once; O_NONBLOCK.
  base::UniqueFd TakeOut() { return std::move(out_); }
  base::UniqueFd TakeErr() { return std::move(err_); }

  // Its inputs have been closed: it has 2 s to end by itself, 12 s after a SIGTERM, and is killed
  // then. `done` is called once, later.
  void End(std::function<void()> done);

 private:
  explicit LogProgram(base::EventLoop& loop) : loop_(loop) {}
  void OnReady();
  void OnExit();
  void Report(base::Result<void> result);

  base::EventLoop& loop_;
  base::Subprocess process_;
  base::UniqueFd out_;
  base::UniqueFd err_;
  base::UniqueFd ready_;
  std::function<void(base::Result<void>)> on_ready_;
  std::function<void()> on_end_;
  base::Watch ready_watch_;
  base::Watch exit_watch_;
  base::Timer timer_;
};

}  // namespace pod
