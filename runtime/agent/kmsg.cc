#include "runtime/agent/kmsg.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace agent {
namespace {

constexpr size_t kRecordBytes = 900;  // below LOG_LINE_MAX of Linux kernel/printk/printk.c
int kmsg_fd = -1;

}  // namespace

void OpenKmsg() {
  if (kmsg_fd < 0) kmsg_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
}

int KmsgFd() noexcept { return kmsg_fd; }

void KmsgLine(KmsgLevel level, std::string_view message) noexcept {
  std::array<char, kRecordBytes> line;
  const auto head =
      fmt::format_to_n(line.data(), line.size() - 1, "<{}>pinion-agent: ", static_cast<int>(level));
  size_t used = head.size;
  // A newline inside would start a record that does not carry our name.
  for (const char c : message.substr(0, line.size() - 1 - used)) {
    line[used++] = c == '\n' ? ' ' : c;
  }
  line[used++] = '\n';
  [[maybe_unused]] const ssize_t ignored =
      write(kmsg_fd >= 0 ? kmsg_fd : STDERR_FILENO, line.data(), used);
}

}  // namespace agent
