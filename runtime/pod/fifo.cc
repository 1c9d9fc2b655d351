#include "runtime/pod/fifo.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "runtime/base/file.h"

namespace pod {
namespace {

constexpr std::chrono::milliseconds kLongestPause{50};

base::Result<bool> IsFifo(base::BorrowedFd fd, const std::string& path) {
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return base::ErrnoError("fstat {}", path);
  return S_ISFIFO(status.st_mode);
}

}  // namespace

OutputOpener::OutputOpener(base::EventLoop& loop, std::string path,
                           std::function<void(base::Result<OutputFifo>)> done)
    : loop_(loop), path_(std::move(path)), done_(std::move(done)) {}

std::unique_ptr<OutputOpener> OutputOpener::Open(
    base::EventLoop& loop, std::string path, std::function<void(base::Result<OutputFifo>)> done) {
  std::unique_ptr<OutputOpener> opener(new OutputOpener(loop, std::move(path), std::move(done)));
  opener->timer_ = loop.After(std::chrono::nanoseconds(0), [raw = opener.get()] { raw->Try(); });
  return opener;
}

// fifo(7): O_WRONLY|O_NONBLOCK fails with ENXIO while nobody has it open for reading. There is no
// way to be told of a reader's arrival, but a blocking open, which cannot be called off.
void OutputOpener::Try() {
  base::Result<base::UniqueFd> writer =
      base::Open(path_, O_WRONLY | O_NONBLOCK | O_APPEND | O_NOCTTY);
  if (!writer && writer.error().error_number() == ENXIO) {
    timer_ = loop_.After(pause_, [this] { Try(); });
    pause_ = std::min(pause_ * 2, kLongestPause);
    return;
  }
  const auto done = std::move(done_);  // it may destroy this
  if (!writer) return done(std::move(writer.error()));
  OutputFifo output{std::move(*writer), {}};
  const base::Result<bool> is_fifo = IsFifo(output.writer, path_);
  if (is_fifo && *is_fifo) {
    base::Result<base::UniqueFd> reader = base::Open(path_, O_RDONLY | O_NONBLOCK);
    if (!reader) return done(std::move(reader.error()));
    output.keep_alive = std::move(*reader);
  }
  done(std::move(output));
}

base::Result<OutputFifo> OpenLogFile(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash != 0) TRY(base::MakeDirectories(path.substr(0, slash)));
  OutputFifo output;
  output.writer = TRY(base::Open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY, 0644),
                      "log file");
  return output;
}

base::Result<InputFifo> OpenInput(const std::string& path) {
  InputFifo input;
  input.reader = TRY(base::Open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY), "stdin");
  if (TRY(IsFifo(input.reader, path))) {
    // After the reader: without one this open fails with ENXIO.
    input.keep_alive = TRY(base::Open(path, O_WRONLY | O_NONBLOCK), "stdin");
  }
  return input;
}

}  // namespace pod
