#include "runtime/agent/power.h"

#include <signal.h>
#include <sys/reboot.h>
#include <unistd.h>

#include <string_view>

#include "runtime/agent/kmsg.h"

namespace agent {
namespace {

constexpr int kFatalSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

void OnCrash(int signal_number) {
  char line[] = "<0>pinion-agent: crashed with signal 00; powering off\n";
  char* digits = line + std::string_view(line).find("00;");
  digits[0] = static_cast<char>('0' + signal_number / 10 % 10);
  digits[1] = static_cast<char>('0' + signal_number % 10);
  const int fd = KmsgFd() >= 0 ? KmsgFd() : STDERR_FILENO;
  [[maybe_unused]] const ssize_t ignored = write(fd, line, sizeof line - 1);
  // No sync(): it may wait for a host that is gone.
  if (getpid() == 1) reboot(RB_POWER_OFF);
  _exit(128 + signal_number);
}

}  // namespace

void PowerOff() {
  if (getpid() != 1) _exit(0);
  sync();
  reboot(RB_POWER_OFF);
  // Without a power-off method the kernel only halts the CPU; a reset is seen by the host.
  reboot(RB_AUTOBOOT);
  while (true) pause();
}

void InstallCrashHandlers() {
  struct sigaction action {};
  action.sa_handler = OnCrash;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int number : kFatalSignals) sigaction(number, &action, nullptr);
}

}  // namespace agent
