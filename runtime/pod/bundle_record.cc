#include "runtime/pod/bundle_record.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>

#include "runtime/base/file.h"
#include "runtime/base/log.h"

namespace pod {
namespace {

using base::Code;
using base::MakeError;

constexpr size_t kMaxFileBytes = 128;
constexpr int64_t kNanoseconds = 1'000'000'000;
constexpr int64_t kMaxPid = kGuestPids;
constexpr int64_t kMaxStatus = 255;

// `N` numbers with a space between, and nothing else but an end of line.
template <size_t N>
base::Result<std::array<int64_t, N>> ReadNumbers(const std::string& path) {
  const std::string text = TRY(base::ReadFile(path, kMaxFileBytes));
  std::string_view rest = text;
  std::array<int64_t, N> numbers{};
  for (int64_t& number : numbers) {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc() || number < 0) {
      return MakeError(Code::kInvalidArgument, "{}: {} numbers are wanted", path, N);
    }
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    const bool last = &number == &numbers.back();
    if (!last && rest.starts_with(' ')) rest.remove_prefix(1);
  }
  if (!rest.empty() && rest != "\n") {
    return MakeError(Code::kInvalidArgument, "{}: more than {} numbers", path, N);
  }
  return numbers;
}

base::Result<pid_t> CheckPid(int64_t pid) {
  if (pid < 1 || pid > kMaxPid) {
    return MakeError(Code::kInvalidArgument, "{} is no pid", pid);
  }
  return static_cast<pid_t>(pid);
}

base::Result<pid_t> ReadInit(const std::string& path) {
  const auto [pid] = TRY(ReadNumbers<1>(path));
  return TRY(CheckPid(pid), "{}", path);
}

base::Result<DeleteInfo> ReadExit(const std::string& path) {
  const auto [status, exited_at_ns, pid] = TRY(ReadNumbers<3>(path));
  if (status > kMaxStatus) {
    return MakeError(Code::kInvalidArgument, "{}: {} is no exit status", path, status);
  }
  DeleteInfo info;
  info.pid = TRY(CheckPid(pid), "{}", path);
  info.exit_status = static_cast<uint32_t>(status);
  info.exited_at = {exited_at_ns / kNanoseconds, exited_at_ns % kNanoseconds};
  return info;
}

// Not being there is no mistake.
void Warn(const base::Error& error) {
  if (error.error_number() != ENOENT) LOG_WARNING("{}", error.Message());
}

}  // namespace

base::Result<void> RecordInit(const std::string& bundle, pid_t pid) {
  const std::string exit_file = bundle + "/" + kExitFile;
  if (unlink(exit_file.c_str()) != 0 && errno != ENOENT) {
    return base::ErrnoError("unlink {}", exit_file);
  }
  return base::WriteFileAtomic(bundle + "/" + kInitPidFile, std::to_string(pid), 0600);
}

base::Result<void> RecordExit(const std::string& bundle, const ExitInfo& exit) {
  const int64_t exited_at_ns =
      int64_t{exit.exited_at.tv_sec} * kNanoseconds + int64_t{exit.exited_at.tv_nsec};
  return base::WriteFileAtomic(bundle + "/" + kExitFile,
                               fmt::format("{} {} {}\n", exit.exit_status, exited_at_ns, exit.pid),
                               0600);
}

DeleteInfo InfoFromBundle(const std::string& bundle, const DeleteInfo& otherwise) {
  base::Result<DeleteInfo> ended = ReadExit(bundle + "/" + kExitFile);
  if (ended) return *ended;
  Warn(ended.error());
  DeleteInfo info = otherwise;
  const base::Result<pid_t> pid = ReadInit(bundle + "/" + kInitPidFile);
  if (pid) {
    info.pid = *pid;
  } else {
    Warn(pid.error());
  }
  return info;
}

}  // namespace pod
