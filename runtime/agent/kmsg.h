// The agent's log: lines to the kernel log, which the guest console and `dmesg` show.
//
// Thread rule: bound to the agent's only thread. base/log (spdlog) would double the program's size
// in the initrd, and a PID 1 has no other sink anyway.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace agent {

// The severities of syslog(3) that the agent uses.
enum class KmsgLevel { kError = 3, kWarning = 4, kInfo = 6 };

// Opens /dev/kmsg; lines written before, or when there is none, go to stderr.
void OpenKmsg();
// One line, cut at the 900 bytes that the kernel takes as one record; never fails.
void KmsgLine(KmsgLevel level, std::string_view message) noexcept;
// The descriptor, or -1: for the crash handler, which may only use write(2).
int KmsgFd() noexcept;

template <class... Args>
void Kmsg(KmsgLevel level, fmt::format_string<Args...> format, Args&&... args) {
  KmsgLine(level, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace agent
