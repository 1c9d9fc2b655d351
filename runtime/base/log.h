// Logging for every program: LOG_INFO("sandbox {} booted", id). spdlog stands behind it, in log.cc
// alone.
//
// Thread rule: thread-safe. A line that the sink cannot take at once (a full pipe) is dropped, never
// waited for. Text from a guest goes through Escaped first.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "runtime/base/unique_fd.h"

namespace base {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Lines go to `sink` (borrowed for the life of the process) in logrus' text form, which containerd
// shows as it is: time="…" level=info msg="…". Before this call they go to stderr.
void InitLog(BorrowedFd sink, LogLevel lowest);
bool LogEnabled(LogLevel level);
void LogLine(LogLevel level, std::string_view message);

// Printable ASCII as it is, everything else as \xNN; at most `limit` characters.
std::string Escaped(std::string_view text, size_t limit = 4096);

}  // namespace base

#define BASE_LOG(level, ...)                                                          \
  do {                                                                                \
    if (::base::LogEnabled(level)) ::base::LogLine(level, ::fmt::format(__VA_ARGS__)); \
  } while (false)
#define LOG_DEBUG(...) BASE_LOG(::base::LogLevel::kDebug, __VA_ARGS__)
#define LOG_INFO(...) BASE_LOG(::base::LogLevel::kInfo, __VA_ARGS__)
#define LOG_WARNING(...) BASE_LOG(::base::LogLevel::kWarning, __VA_ARGS__)
#define LOG_ERROR(...) BASE_LOG(::base::LogLevel::kError, __VA_ARGS__)
