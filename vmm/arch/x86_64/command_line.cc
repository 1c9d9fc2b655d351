#include "vmm/arch/x86_64/command_line.h"

#include "vmm/arch/x86_64/layout.h"

namespace vmm {

namespace {

struct Word {
  std::string_view text;
  std::string_view reason;
};

constexpr Word kDefaultWords[] = {
    {"pci=off", "there is no PCI: skips the probing of configuration ports"},
    {"panic=-1", "a guest that panics has nobody to show it to: reset at once, which ends us"},
    {"reboot=a",
     "by the ACPI reset register: on hardware-reduced ACPI Linux would else try EFI, which is "
     "not there, and then the BIOS"},
    {"quiet", "each printed line costs time even without a console"},
    {"cryptomgr.notests", "the kernel's crypto self-tests are the distributor's to run"},
    {"random.trust_cpu=on", "RDRAND seeds the pool, so that nothing waits for entropy"},
    {"tsc=reliable", "under KVM the host vouches for the TSC: no watchdog, no calibration again"},
    {"no_timer_check", "there is no PIT whose interrupt could be tested"},
    {"swiotlb=noforce", "all devices reach all of RAM: do not keep 64 MiB for bounce buffers"},
    {"rcupdate.rcu_expedited=1", "grace periods of boot end at once instead of after ticks"},
};

constexpr Word kSerialWords[] = {
    {"8250.nr_uarts=1", "there is one port: do not probe for three more"},
};
constexpr Word kNoSerialWords[] = {
    {"8250.nr_uarts=0", "no console was asked for: do not touch the ports at all"},
};

}  // namespace

base::Result<std::string> BuildCommandLine(bool serial_console, std::string_view caller) {
  std::string line;
  for (const Word& word : kDefaultWords) line.append(word.text).append(" ");
  for (const Word& word : serial_console ? kSerialWords : kNoSerialWords) {
    line.append(word.text).append(" ");
  }
  line.append(caller);
  if (caller.empty()) line.pop_back();
  if (line.find('\0') != std::string::npos) {
    return base::MakeError(base::Code::kInvalidArgument, "kernel command line: has a NUL byte");
  }
  if (line.size() >= layout::kCommandLineBytes) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "kernel command line: {} bytes: must be at most {}", line.size(),
                           layout::kCommandLineBytes - 1);
  }
  return line;
}

}  // namespace vmm
