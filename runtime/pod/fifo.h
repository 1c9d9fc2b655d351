// The client's end of a process' standard stream: fifos as containerd makes them
// (containerd pkg/cio/io_unix.go), or another file.
//
// Thread rule: reactor-bound; nothing here blocks.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace pod {

struct OutputFifo {
  base::UniqueFd writer;      // O_NONBLOCK
  base::UniqueFd keep_alive;  // a reader of ours: one that vanishes breaks and loses nothing
};

// Opens an output: waits for the fifo's reader, so that a process that ends at once cannot outrun
// it. Destroying the opener gives up.
class OutputOpener {
 public:
  static std::unique_ptr<OutputOpener> Open(
      base::EventLoop& loop, std::string path,
      std::function<void(base::Result<OutputFifo>)> done);  // never from inside this call

 private:
  OutputOpener(base::EventLoop& loop, std::string path,
               std::function<void(base::Result<OutputFifo>)> done);
  void Try();

  base::EventLoop& loop_;
  std::string path_;
  std::function<void(base::Result<OutputFifo>)> done_;
  std::chrono::milliseconds pause_{1};
  base::Timer timer_;
};

// "file://": made if need be, with its directories, and appended to.
base::Result<OutputFifo> OpenLogFile(const std::string& path);

struct InputFifo {
  base::UniqueFd reader;      // O_NONBLOCK
  base::UniqueFd keep_alive;  // a writer of ours, until CloseIO
};
base::Result<InputFifo> OpenInput(const std::string& path);

}  // namespace pod
