#include "runtime/base/file.h"

#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

namespace base {

Result<UniqueFd> Open(const std::string& path, int flags, mode_t mode) {
  UniqueFd fd(static_cast<int>(TEMP_FAILURE_RETRY(open(path.c_str(), flags | O_CLOEXEC, mode))));
  if (!fd) return ErrnoError("open {}", path);
  return fd;
}

Result<UniqueFd> OpenInRoot(BorrowedFd root, const std::string& path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<__u64>(flags | O_CLOEXEC);
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  UniqueFd fd(static_cast<int>(
      TEMP_FAILURE_RETRY(syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how))));
  if (!fd) return ErrnoError("open {} below its root", path);
  return fd;
}

Result<std::string> ReadAll(BorrowedFd fd, size_t limit_bytes) {
  std::string text;
  char buffer[16384];
  while (true) {
    const ssize_t count = TEMP_FAILURE_RETRY(read(fd.get(), buffer, sizeof buffer));
    if (count < 0) return ErrnoError("read");
    if (count == 0) return text;
    if (text.size() + static_cast<size_t>(count) > limit_bytes) {
      return MakeError(Code::kOutOfRange, "more than {} bytes", limit_bytes);
    }
    text.append(buffer, static_cast<size_t>(count));
  }
}

Result<std::string> ReadFile(const std::string& path, size_t limit_bytes) {
  const UniqueFd fd = TRY(Open(path, O_RDONLY));
  return TRY(ReadAll(fd, limit_bytes), "read {}", path);
}

Result<void> WriteFile(const std::string& path, std::string_view text) {
  const UniqueFd fd = TRY(Open(path, O_WRONLY));
  const ssize_t count = TEMP_FAILURE_RETRY(write(fd.get(), text.data(), text.size()));
  if (count < 0) return ErrnoError("write \"{}\" to {}", text, path);
  if (static_cast<size_t>(count) != text.size()) {
    return MakeError(Code::kUnknown, "{} took {} of {} bytes", path, count, text.size());
  }
  return Ok();
}

Result<void> WriteAll(BorrowedFd fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = TEMP_FAILURE_RETRY(write(fd.get(), bytes.data(), bytes.size()));
    if (count < 0) return ErrnoError("write");
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return Ok();
}

Result<void> WriteFileAtomic(const std::string& path, std::string_view text, mode_t mode) {
  const std::string temporary = fmt::format("{}.{}.tmp", path, getpid());
  {
    const UniqueFd fd = TRY(Open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode));
    Result<void> written = WriteAll(fd, text);
    if (!written) {
      unlink(temporary.c_str());
      written.error().Push(__FILE__, __LINE__, "write {}", temporary);
      return written;
    }
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    Error error = ErrnoError("rename {} to {}", temporary, path);
    unlink(temporary.c_str());
    return error;
  }
  return Ok();
}

Result<void> MakeDirectories(const std::string& path, mode_t mode) {
  for (size_t end = 1; end <= path.size(); ++end) {
    if (end != path.size() && path[end] != '/') continue;
    const std::string part = path.substr(0, end);
    if (mkdir(part.c_str(), mode) != 0 && errno != EEXIST) return ErrnoError("mkdir {}", part);
  }
  return Ok();
}

}  // namespace base
