#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <vector>

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

struct Policies {
  std::vector<sock_filter> vcpu;
  std::vector<sock_filter> device;
};

base::Result<Policies> Prepare() {
  struct sigaction action {};
  action.sa_sigaction = OnViolation;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  if (sigaction(SIGSYS, &action, nullptr) != 0) return base::ErrnoError("jail: handle SIGSYS");
  // The first log line would else look for the time zone's file.
  tzset();
  auto vcpu = TRY(VcpuPolicy());
  auto device = TRY(DevicePolicy());
  return Policies{.vcpu = std::move(vcpu), .device = std::move(device)};
}

// Once for all threads: a thread under a filter may neither take a signal nor make a file, which
// both belong to this.
const base::Result<Policies>& Prepared() {
  static const base::Result<Policies> prepared = Prepare();
  return prepared;
}

base::Result<void> Apply(std::vector<sock_filter> Policies::*policy) {
  const base::Result<Policies>& prepared = Prepared();
  if (!prepared) {
    return base::MakeError(prepared.error().code(), "{}", prepared.error().Message());
  }
  return base::LoadSeccomp((*prepared).*policy, {});
}

}  // namespace

base::Result<void> ApplyVcpuFilter() { return Apply(&Policies::vcpu); }

base::Result<void> ApplyDeviceFilter() { return Apply(&Policies::device); }

}  // namespace vmm::jail
