#include "runtime/base/log.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <mutex>

namespace base {
namespace {

// Whole lines with one write(2) each: pipes keep those of up to PIPE_BUF bytes together.
class FdSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FdSink(int fd) : fd_(fd) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    [[maybe_unused]] const ssize_t ignored = write(fd_, line.data(), line.size());
  }
  void flush_() override {}

 private:
  int fd_;
};

std::shared_ptr<spdlog::logger> MakeLogger(int fd, spdlog::level::level_enum level) {
  auto logger = std::make_shared<spdlog::logger>("pinion", std::make_shared<FdSink>(fd));
  logger->set_pattern("time=\"%Y-%m-%dT%H:%M:%S.%f%z\" level=%l msg=\"%v\"");
  logger->set_level(level);
  return logger;
}

std::shared_ptr<spdlog::logger>& Logger() {
  static std::shared_ptr<spdlog::logger> logger = MakeLogger(STDERR_FILENO, spdlog::level::info);
  return logger;
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

void InitLog(BorrowedFd sink, LogLevel lowest) {
  Logger() = MakeLogger(sink.get(), ToSpdlog(lowest));
}

bool LogEnabled(LogLevel level) { return Logger()->should_log(ToSpdlog(level)); }

void LogLine(LogLevel level, std::string_view message) {
  // Quotes and line ends would end the msg field of the logrus form.
  std::string quoted;
  quoted.reserve(message.size());
  for (const char c : message) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '\n') {
      quoted += "\\n";
    } else {
      quoted += c;
    }
  }
  Logger()->log(ToSpdlog(level), spdlog::string_view_t(quoted.data(), quoted.size()));
}

std::string Escaped(std::string_view text, size_t limit) {
  std::string out;
  for (const char c : text) {
    const bool printable = c >= 0x20 && c < 0x7f;
    const std::string piece =
        printable ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    if (out.size() + piece.size() > limit) break;
    out += piece;
  }
  return out;
}

}  // namespace base
