#include "runtime/pod/console_log.h"

#include <fcntl.h>

#include <utility>

#include "runtime/base/file.h"
#include "runtime/base/log.h"

namespace pod {
namespace {

constexpr size_t kMaxShownCharacters = 300;

}  // namespace

base::Result<std::unique_ptr<ConsoleLog>> ConsoleLog::Create(base::EventLoop& loop,
                                                             const std::string& path) {
  auto log = std::make_unique<ConsoleLog>();
  log->file_ = TRY(base::Open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600),
                   "console log {}", path);
  Pipe pipe = TRY(MakePipe(/*nonblocking_writer=*/true));
  log->write_end_ = std::move(pipe.write_end);
  log->reader_ =
      TRY(LineReader::Create(loop, std::move(pipe.read_end),
                             [raw = log.get()](std::string_view line) { raw->Add(line); }));
  return log;
}

void ConsoleLog::Add(std::string_view line) {
  if (file_bytes_ + line.size() + 1 <= kMaxFileBytes) {
    file_bytes_ += line.size() + 1;
    // A full disk must not stop the pod: the file is a help, nothing depends on it.
    static_cast<void>(base::WriteAll(file_, std::string(line) + "\n"));
  }
  if (line.empty()) return;
  last_.push_back(base::Escaped(line, kMaxShownCharacters));
  if (last_.size() > kMaxLines) last_.pop_front();
}

std::string ConsoleLog::Tail() {
  reader_->Drain();
  if (last_.empty()) return {};
  std::string text = "the guest's console ends with:";
  for (const std::string& line : last_) text += "\n  " + line;
  return text;
}

}  // namespace pod
