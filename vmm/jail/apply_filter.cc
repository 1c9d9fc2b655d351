#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <mutex>

#include "vmm/jail/jail.h"
#include "vmm/jail/policy.h"

namespace vmm::jail {
namespace {

// Async-signal-safe: nothing but write and _exit.
[[noreturn]] void OnViolation(int, siginfo_t* info, void*) {
  char line[96] = "level=fatal msg=\"jail: forbidden system call ";
  size_t length = std::strlen(line);
  char digits[12];
  size_t count = 0;
  unsigned number = static_cast<unsigned>(info->si_syscall);
  do {
    digits[count++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  while (count != 0) line[length++] = digits[--count];
  line[length++] = '"';
  line[length++] = '\n';
  [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, line, length);
  _exit(kViolationStatus);
}

base::Result<void> InstallHandler() {
  struct sigaction action {};
  action.sa_sigaction = OnViolation;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  if (sigaction(SIGSYS, &action, nullptr) != 0) return base::ErrnoError("jail: handle SIGSYS");
  return base::Ok();
}

base::Result<void> Apply(const std::vector<sock_filter>& program) {
  // Once for all threads; a thread under a filter may not call sigaction again.
  static std::once_flag once;
  base::Result<void> installed = base::Ok();
  std::call_once(once, [&] {
    installed = InstallHandler();
    // The first log line would else look for the time zone's file.
    tzset();
  });
  TRY(std::move(installed));
  return base::LoadSeccomp(program, {});
}

}  // namespace

base::Result<void> ApplyVcpuFilter() { return Apply(TRY(VcpuPolicy())); }

base::Result<void> ApplyDeviceFilter() { return Apply(TRY(DevicePolicy())); }

}  // namespace vmm::jail
